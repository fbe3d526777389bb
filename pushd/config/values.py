"""What can be configured: frozen values with their defaults. Sizes are bytes, times are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pushd.oci.compression import Encoding
from pushd.principal import Role
from pushd.telemetry.events import Level

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from pushd.oci.upload import Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """`[daemon]`: where it lives and how much it says.

    Attributes:
        socket: the unix socket it serves.
        state_dir: the directory of its database.
        log_level: events below it are not logged.
        queue_warning: seconds a job may take before the log warns that it waits.
    """

    socket: Path
    state_dir: Path
    log_level: Level = Level.INFO
    queue_warning: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`[limits]`: how much happens at once, and for how long.

    Attributes:
        deliveries: deliveries to one registry running at the same time; one that stalls holds up no other registry.
        uploads_per_registry: uploads to one registry at the same time.
        small_uploads_per_registry: the same in the lane of small blobs, beside the other; None for as many as cost none
            of them time.
        memory: bytes of all piece buffers together.
        bandwidth: bytes of blobs that leave in a second, to all registries together; None for as many as there are.
        deadline: seconds a job that names none has before what is unfinished fails.
        attempts: how often a registry that this daemon has never reached is tried; any other until the deadline.
        jobs_per_user: jobs of one user that have not ended.
        streams_per_user: event streams one user may have open.
        request_size: bytes of a request's body; what goes to the spool has a quota of its own.
    """

    deliveries: int = 16
    uploads_per_registry: int = 8
    small_uploads_per_registry: int | None = None
    memory: int = 64 << 20
    bandwidth: int | None = None
    deadline: float = 86_400.0
    attempts: int = 5
    jobs_per_user: int = 20_000
    streams_per_user: int = 1024
    request_size: int = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """`[timeouts]`: how long to wait for a registry. None of them ends work that moves.

    Attributes:
        connect: seconds to resolve the name and open a connection, TLS included.
        stall: seconds without a byte taken before a body counts as stalled.
        commit: seconds for the reply that follows the last byte of a blob; storage backends copy then.
        request: seconds for the reply to any other request.
    """

    connect: float = 15.0
    stall: float = 60.0
    commit: float = 900.0
    request: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One of `[[credentials.grants]]`: who besides administrators may use the daemon's credential for a registry.

    Attributes:
        registry: a pattern for `host[:port]`.
        users: names or uids; `*` for everyone who may submit.
        groups: names or gids.
        repositories: patterns for the repositories it may be used for.
    """

    registry: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """`[credentials]`: where they come from, and whose use they are.

    Attributes:
        docker_config: a file as Docker's `config.json`, which goes before those in the usual places; None for none.
        grants: without any, administrators alone use them.
        helper_timeout: seconds a credential helper has for its answer.
        helper_cache: seconds an answer of a helper is used that does not say itself how long it is good for.
        login_ttl: seconds what `pushctl login` stores is kept; also the most anyone may ask for.
    """

    docker_config: Path | None = None
    grants: tuple[Grant, ...] = ()
    helper_timeout: float = 10.0
    helper_cache: float = 900.0
    login_ttl: float = 90 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """`[tls]`: where certificates lie, for all registries.

    Attributes:
        certs_d: directories of Docker's layout, `HOST[:PORT]/{*.crt,*.cert,*.key}`, those that come first go first.
    """

    certs_d: tuple[Path, ...] = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """`[proxy]`: what HTTP goes through. None leaves it to the environment: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`.

    Attributes:
        http: the URL of the proxy for plain HTTP, or an empty text for none.
        https: the same for HTTPS.
        no_proxy: hosts that are spoken to without: names with what is below them, `host:port`, addresses, networks.
    """

    http: str | None = field(default=None, repr=False)  # a password may be part of it
    https: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """`[access]`: who is served. Root and the daemon's own user are administrators always.

    Attributes:
        administrators: groups, by name or gid, whose members see and touch everybody's jobs.
        submitters: groups, by name or gid, whose members hand in jobs and see their own.
    """

    administrators: tuple[str, ...] = ("pushd-admin",)
    submitters: tuple[str, ...] = ("pushd",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """`[sockets.NAME]`: another socket, such as one for containers, that grants less than the main one.

    Attributes:
        path: the unix socket; the one systemd passes under the name NAME goes before it.
        role: the most anyone is who comes by it.
        paths: whether jobs that come by it may name paths; without, bytes are brought to the spool.
    """

    path: Path
    role: Role = Role.SUBMITTER
    paths: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """`[destinations]`: where jobs may go. A pattern is for `host[:port]`, or for `host[:port]/repository`.

    Attributes:
        allow: it must fit one of these,
        deny: and none of these.
    """

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """`[images]`: what becomes of images before they are pushed.

    Attributes:
        compression: how plain layers are compressed of jobs that leave it to the daemon; None for not at all.
    """

    compression: Encoding | None = Encoding.GZIP


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """`[engine]`: Docker or podman, asked by the daemon for images that jobs name `docker-daemon:IMAGE`.

    Attributes:
        role: the least a caller is for whom it is asked; None, in the file `"nobody"`, for nobody. Who may open an
            engine's socket is as good as root: what it gives out may be nobody else's to have.
        socket: where it is; None for Docker's usual place, and podman's.
    """

    role: Role | None = Role.ADMINISTRATOR
    socket: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spool:
    """`[spool]`: bytes kept by the daemon itself, until a job has ended, or for the next one.

    Attributes:
        directory: where; None for the directory `spool` in the state directory.
        ttl: seconds an entry waits for more bytes, or for its job.
        per_user: bytes of all entries of one user.
        keep_compressed: bytes of compressed layers that are kept for the next image which has them; 0 for none.
    """

    directory: Path | None = None
    ttl: float = 3600.0
    per_user: int = 64 << 30
    keep_compressed: int = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """`[disk]`: how much the daemon may use. What runs is never refused.

    Attributes:
        budget: bytes of spool and database (with its events) together; None for what the disk has.
        reserve: bytes left free for everybody else, but no more than a twentieth of the disk.
    """

    budget: int | None = None
    reserve: int = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """`[retention]`: how long what has ended is kept; whatever is past its age, or beyond its count, goes.

    Attributes:
        jobs: seconds since a job finished.
        job_count: finished jobs.
        events: seconds since an event was told.
        event_count: events.
    """

    jobs: float = 30 * 86_400.0
    job_count: int = 100_000
    events: float = 14 * 86_400.0
    event_count: int = 1_000_000


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An address and port, written like `127.0.0.1:9469` or `[::1]:9469`."""

    host: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.host.version == 6 else f"{self.host}:{self.port}"  # noqa: PLR2004 (IPv6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """`[metrics]`: what is measured, for whoever cannot ask over the socket.

    A registry has a label of its own in it when it has a table in the configuration, be it an empty one.

    Attributes:
        listen: where `GET /metrics` is answered, to anyone who gets there, and nothing else; None for nowhere.
        allow_remote: whether other machines may get there.
    """

    listen: TcpAddress | None = None
    allow_remote: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """`[registries."host:port"]`: what is different about one registry. None leaves it to the profile.

    Attributes:
        profile: the name of its kind (`registry.profiles`); None leaves that to its host name.
        plain_http: whether it speaks HTTP without TLS.
        upload: the form uploads take; None, in the file `"auto"`.
        chunk_size: bytes per PATCH.
        max_uploads: uploads at the same time, in place of `Limits.uploads_per_registry`; its small ones are sixteen,
            or as many as `Limits.small_uploads_per_registry` says.
        bandwidth: bytes of blobs that leave for it in a second, within `Limits.bandwidth`.
        ca: a PEM file of certificate authorities trusted beside the system's.
        client_cert: a PEM file with the certificate this daemon shows to it.
        client_key: a PEM file with its key; None when that is in the same file.
        insecure_skip_verify: whether its certificate is not looked at.
        credential: the name of the systemd credential that holds what to log in with.
        credential_hosts: other `host[:port]` it may lead uploads to with our authorisation.
        addresses: networks in which what it leads to may lie although it lies farther out itself.
    """

    profile: str | None = None
    plain_http: bool | None = None
    upload: Form | None = None
    chunk_size: int | None = None
    max_uploads: int | None = None
    bandwidth: int | None = None
    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    insecure_skip_verify: bool = False
    credential: str | None = None
    credential_hosts: tuple[str, ...] = ()
    addresses: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All that is configured.

    Attributes:
        registries: by `host[:port]`, as in references.
        sockets: besides the main one, by name.
        file: the file that was read, or None when there was none.
    """

    daemon: Daemon
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    credentials: Credentials = field(default_factory=Credentials)
    tls: Tls = field(default_factory=Tls)
    proxy: Proxy = field(default_factory=Proxy)
    access: Access = field(default_factory=Access)
    destinations: Destinations = field(default_factory=Destinations)
    images: Images = field(default_factory=Images)
    engine: Engine = field(default_factory=Engine)
    spool: Spool = field(default_factory=Spool)
    disk: Disk = field(default_factory=Disk)
    retention: Retention = field(default_factory=Retention)
    metrics: Metrics = field(default_factory=Metrics)
    registries: Mapping[str, Registry] = field(default_factory=dict)
    sockets: Mapping[str, Socket] = field(default_factory=dict)
    file: Path | None = None

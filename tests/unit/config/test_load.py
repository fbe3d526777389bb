from __future__ import annotations

from dataclasses import FrozenInstanceError
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.config import (
    Access,
    ConfigError,
    Credentials,
    Destinations,
    Disk,
    Engine,
    Grant,
    Images,
    Limits,
    Metrics,
    Overrides,
    Registry,
    Retention,
    Socket,
    Spool,
    TcpAddress,
    Timeouts,
    load,
)
from pushd.errors import Code, DaemonError
from pushd.oci.compression import Encoding
from pushd.oci.upload import Form
from pushd.principal import Role
from pushd.registry.profiles import NAMES
from pushd.telemetry.events import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushd.config import Config

ETC = Path("/etc/pushd/pushd.toml")
EVERYTHING = """
[daemon]
socket = "/srv/s"
state_dir = "/srv/state"
log_level = "debug"
queue_warning = "2h"

[limits]
deliveries = 1
uploads_per_registry = 2
small_uploads_per_registry = 3
memory = "128MiB"
bandwidth = "20 MiB"
deadline = "2d"
attempts = 4
jobs_per_user = 50
streams_per_user = 6
request_size = "64KiB"

[timeouts]
connect = 5
stall = "30s"
commit = "1h"
request = 7.5

[credentials]
docker_config = "/etc/pushd/docker.json"

[[credentials.grants]]
registry = "*.example.com"
users = ["ada", 1001, "*"]
groups = ["ci", "5001"]
repositories = ["team/*", "mirror/app"]

[[credentials.grants]]
registry = "localhost:5000"
users = ["*"]

[access]
administrators = ["wheel", "pushd-admin"]
submitters = [5001]

[destinations]
allow = ["*.example.com", "[::1]:5000", "localhost:*/team/*"]
deny = ["old.example.com/*"]

[spool]
directory = "/srv/spool"
ttl = "2h"
per_user = "8GiB"
keep_compressed = 0

[images]
compression = "zstd"

[engine]
role = "nobody"
socket = "/run/user/1000/podman/podman.sock"

[disk]
budget = "1T"
reserve = 0

[retention]
jobs = "7d"
job_count = 1000
events = "1d"
event_count = 5000

[metrics]
listen = "[::]:9469"
allow_remote = true

[sockets.containers]
path = "/run/pushd/containers.sock"

[sockets.ci-2]
path = "/run/ci.sock"
role = "administrator"
paths = true

[registries."localhost:5000"]
profile = "ecr"
plain_http = true
upload = "streamed"
chunk_size = "4MiB"
max_uploads = 1
bandwidth = 524288
ca = "/etc/ca.pem"

[registries.localhost]
upload = "auto"
plain_http = false
"""

NAMED = ["registries", "sockets"]
KNOWN = ", ".join(
    [
        "daemon, limits, timeouts, credentials, tls, proxy, access, destinations, images, engine, spool, disk",
        "retention, metrics",
        *NAMED,
    ]
)


def files(contents: Mapping[Path, str]) -> Callable[[Path], str]:
    def read_text(path: Path) -> str:
        try:
            return contents[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", str(path)) from None

    return read_text


def loaded(text: str | None = None, overrides: Overrides | None = None, **environ: str) -> Config:
    """The configuration of root's daemon with `text` in the usual place."""
    contents = {} if text is None else {ETC: text}
    return load(overrides or Overrides(), environ, files(contents), uid=0)


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert caught.value.code is Code.DAEMON_CONFIG
    assert caught.value.subject == str(ETC)
    return [f"{written(mistake.key)}: {mistake.detail}" for mistake in caught.value.mistakes]


def written(key: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def test_without_a_file_everything_has_its_default() -> None:
    config = loaded(HOME="/root")

    assert (config.daemon.socket, config.daemon.state_dir) == (Path("/run/pushd/pushd.sock"), Path("/var/lib/pushd"))
    assert (config.daemon.log_level, config.daemon.queue_warning) == (Level.INFO, 3600.0)
    assert config.limits == Limits(
        deliveries=16,
        uploads_per_registry=8,
        small_uploads_per_registry=None,
        memory=67_108_864,
        deadline=86_400.0,
        attempts=5,
    )
    assert config.timeouts == Timeouts()
    assert config.credentials == Credentials(docker_config=None), "the usual places are no matter of configuration"
    assert (dict(config.registries), config.file) == ({}, None)


def test_without_a_word_about_it_nothing_limits_the_bandwidth() -> None:
    config = loaded('[limits]\n[registries."x:1"]')

    assert (config.limits.bandwidth, config.registries["x:1"].bandwidth) == (None, None)


def test_an_empty_file_changes_nothing_but_that_it_was_read() -> None:
    assert loaded("").file == ETC
    assert loaded("").limits == Limits()


def test_every_key_is_read() -> None:
    config = loaded(EVERYTHING)

    assert (config.daemon.socket, config.daemon.state_dir) == (Path("/srv/s"), Path("/srv/state"))
    assert (config.daemon.log_level, config.daemon.queue_warning) == (Level.DEBUG, 7200.0)
    assert config.limits == Limits(
        deliveries=1,
        uploads_per_registry=2,
        small_uploads_per_registry=3,
        memory=128 << 20,
        bandwidth=20 << 20,
        deadline=172_800.0,
        attempts=4,
        jobs_per_user=50,
        streams_per_user=6,
        request_size=64 << 10,
    )
    assert config.timeouts == Timeouts(connect=5.0, stall=30.0, commit=3600.0, request=7.5)
    assert config.credentials == Credentials(
        docker_config=Path("/etc/pushd/docker.json"),
        grants=(
            Grant(
                registry="*.example.com",
                users=("ada", "1001", "*"),
                groups=("ci", "5001"),
                repositories=("team/*", "mirror/app"),
            ),
            Grant(registry="localhost:5000", users=("*",), repositories=("*",)),
        ),
    )
    assert config.access == Access(administrators=("wheel", "pushd-admin"), submitters=("5001",))
    assert config.destinations == Destinations(
        allow=("*.example.com", "[::1]:5000", "localhost:*/team/*"), deny=("old.example.com/*",)
    )
    assert config.images == Images(compression=Encoding.ZSTD)
    assert config.engine == Engine(role=None, socket=Path("/run/user/1000/podman/podman.sock"))
    assert config.spool == Spool(directory=Path("/srv/spool"), ttl=7200.0, per_user=8 << 30, keep_compressed=0)
    assert config.disk == Disk(budget=1 << 40, reserve=0)
    assert config.retention == Retention(jobs=7 * 86_400.0, job_count=1000, events=86_400.0, event_count=5000)
    assert config.metrics == Metrics(listen=TcpAddress(ip_address("::"), 9469), allow_remote=True)
    assert dict(config.sockets) == {
        "containers": Socket(path=Path("/run/pushd/containers.sock"), role=Role.SUBMITTER, paths=False),
        "ci-2": Socket(path=Path("/run/ci.sock"), role=Role.ADMINISTRATOR, paths=True),
    }
    assert dict(config.registries) == {
        "localhost:5000": Registry(
            profile="ecr",
            plain_http=True,
            upload=Form.STREAMED,
            chunk_size=4 << 20,
            max_uploads=1,
            bandwidth=512 << 10,
            ca=Path("/etc/ca.pem"),
        ),
        "localhost": Registry(plain_http=False),
    }


def test_what_is_configured_does_not_change() -> None:
    config = loaded(EVERYTHING)

    with pytest.raises(FrozenInstanceError):
        config.limits.deliveries = 2  # type: ignore[misc] # that is the point
    with pytest.raises(TypeError):
        config.registries["x"] = Registry()  # type: ignore[index] # the same
    with pytest.raises(TypeError):
        config.sockets["x"] = Socket(path=ETC)  # type: ignore[index] # the same


@pytest.mark.parametrize(
    ("overrides", "environ", "text", "socket", "state_dir"),
    [
        (
            Overrides(socket=Path("/cli"), state_dir=Path("here")),
            {"PUSHD_SOCKET": "/env", "PUSHD_STATE_DIR": "/env.d"},
            EVERYTHING,
            "/cli",
            "here",
        ),
        (Overrides(), {"PUSHD_SOCKET": "/env", "PUSHD_STATE_DIR": "/env.d"}, EVERYTHING, "/env", "/env.d"),
        (Overrides(), {"PUSHD_SOCKET": "", "PUSHD_STATE_DIR": ""}, EVERYTHING, "/srv/s", "/srv/state"),
        (Overrides(), {}, "", "/run/pushd/pushd.sock", "/var/lib/pushd"),
    ],
)
def test_the_command_line_goes_before_the_environment_before_the_file_before_the_default(
    *, overrides: Overrides, environ: dict[str, str], text: str, socket: str, state_dir: str
) -> None:
    config = loaded(text, overrides, **environ)

    assert (config.daemon.socket, config.daemon.state_dir) == (Path(socket), Path(state_dir))


def test_the_file_itself_is_named_by_command_line_environment_or_place() -> None:
    contents = {Path("/a"): "limits.attempts = 1", Path("/b"): "limits.attempts = 2", ETC: "limits.attempts = 3"}
    environ = {"PUSHD_CONFIG": "/b"}
    read = files(contents)

    assert load(Overrides(config=Path("/a")), environ, read, uid=0).limits.attempts == 1
    assert load(Overrides(), environ, read, uid=0).limits.attempts == 2
    assert load(Overrides(), {}, read, uid=0).limits.attempts == 3


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[limit]", "limit: is not known; did you mean limits?"),
        (
            "x = 1",
            f"x: is not known; known are {KNOWN}",
        ),
        ("limits = 3", "limits: must be a table: [limits]"),
        ("[[limits]]", "limits: must be a table: [limits]"),
        ("registries = 3", 'registries: must be tables: [registries."host:port"]'),
        ("[limits]\ndeliverys = 3", "limits.deliverys: is not known; did you mean deliveries?"),
        ("[daemon]\nzzz = 3", "daemon.zzz: is not known; known are socket, state_dir, log_level, queue_warning"),
        ("[limits]\ndeliveries = 0", "limits.deliveries: must be from 1 to 1000 at a time; it is 0"),
        ("[limits]\ndeliveries = true", "limits.deliveries: must be a whole number; it is true"),
        ("[limits]\ndeliveries = 1.5", "limits.deliveries: must be a whole number; it is 1.5"),
        ("[limits]\ndeliveries = [1]", "limits.deliveries: must be a whole number; it is an array"),
        ("[limits.deliveries]", "limits.deliveries: must be a whole number; it is a table"),
        ("[limits]\nmemory = 1", "limits.memory: must be from 1048576 to 1099511627776 bytes; it is 1"),
        ("[limits]\nmemory = 'much'", "limits.memory: must be a size like 1048576 or \"4MiB\"; it is 'much'"),
        (
            "[limits]\nbandwidth = 1023",
            "limits.bandwidth: must be from 1024 to 1099511627776 bytes a second; it is 1023",
        ),
        (
            "[limits]\nbandwidth = '1MiB/s'",
            "limits.bandwidth: must be a size like 1048576 or \"4MiB\"; it is '1MiB/s'",
        ),
        (
            '[registries."x:1"]\nbandwidth = 0',
            "registries.x:1.bandwidth: must be from 1024 to 1099511627776 bytes a second; it is 0",
        ),
        (
            '[registries."x:1"]\nbandwidth = "fast"',
            "registries.x:1.bandwidth: must be a size like 1048576 or \"4MiB\"; it is 'fast'",
        ),
        ("[limits]\ndeadline = '0s'", "limits.deadline: must be from 1 to 31622400 seconds; it is '0s'"),
        (
            "[timeouts]\nstall = 2026-01-01",
            'timeouts.stall: must be a duration like 90 (seconds), "90s", "15m", "2h" or "1d"; it is a date or time',
        ),
        (
            f"[limits]\nattempts = 0x{'f' * 9000}",
            "limits.attempts: must be from 1 to 1000 times; it is a very large number",
        ),
        (
            "[daemon]\nlog_level = 'loud'",
            "daemon.log_level: must be one of debug, info, warning, error; it is 'loud'",
        ),
        (
            "[daemon]\nsocket = 'pushd.sock'",
            "daemon.socket: must be an absolute path, beginning with /; it is 'pushd.sock'",
        ),
        ('[registries."x:1"]\nplain_http = 1', "registries.x:1.plain_http: must be true or false; it is 1"),
        (
            '[registries."x:1"]\nupload = "Chunked"',
            "registries.x:1.upload: must be one of auto, chunked, streamed, monolithic; it is 'Chunked'",
        ),
        (
            '[registries."x:1"]\nprofile = "ERC"',
            f"registries.x:1.profile: must be one of {', '.join(NAMES)}; it is 'ERC'",
        ),
        (
            '[registries."x:1"]\nprofile = ["ecr"]',
            f"registries.x:1.profile: must be one of {', '.join(NAMES)}; it is an array",
        ),
        (
            '[registries."x:1"]\nupload = []',
            "registries.x:1.upload: must be one of auto, chunked, streamed, monolithic; it is an array",
        ),
        (
            '[registries."x:1"]\nclient_key = "k"',
            "registries.x:1.client_key: must be an absolute path, beginning with /; it is 'k'",
        ),
        (
            '[registries."x:1"]\ncredential = "../key"',
            "registries.x:1.credential: must be the name of a credential, as in LoadCredential=; it is '../key'",
        ),
        (
            '[registries."x:1"]\naddresses = ["10.0.0.1/8"]',
            "registries.x:1.addresses[0]: must be an address or a network like \"10.0.0.0/8\"; it is '10.0.0.1/8'",
        ),
        (
            '[registries."x:1"]\ncredential_hosts = ["a/b"]',
            "registries.x:1.credential_hosts[0]: must be host or host:port, as in a reference; it is 'a/b'",
        ),
        # Not what stands there: a password may be part of it.
        (
            '[proxy]\nhttps = "socks5://alice:canary@proxy"',
            'proxy.https: must be the URL of a proxy like "http://proxy.example.com:3128"',
        ),
        (
            '[proxy]\nno_proxy = ["$"]',
            (
                'proxy.no_proxy[0]: must be a host like "example.com" or "a.example:5000", an address or a network; '
                "it is '$'"
            ),
        ),
        (
            '[registries."https://x"]\nplain_http = true',
            "registries.https://x: must be named host or host:port, as in a reference",
        ),
        ("[registries.a.example]\nca = '/x'", 'registries.a.example: must be quoted: [registries."a.example"]'),
        ("[registries]\nx = 1", "registries.x: must be a table: [registries.x]"),
        (
            "[limits]\nrequest_size = '1K'",
            "limits.request_size: must be from 4096 to 67108864 bytes; it is '1K'",
        ),
        (
            "[engine]\nrole = 'everyone'",
            "engine.role: must be one of nobody, submitter, administrator; it is 'everyone'",
        ),
        ("[images]\ncompression = 'lz4'", "images.compression: must be one of none, gzip, zstd; it is 'lz4'"),
        ("[limits]\njobs_per_user = 0", "limits.jobs_per_user: must be from 1 to 10000000 jobs; it is 0"),
        ("[spool]\nttl = '367d'", "spool.ttl: must be from 1 to 31622400 seconds; it is '367d'"),
        ("[spool]\nkeep_compressed = -1", 'spool.keep_compressed: must be a size like 1048576 or "4MiB"; it is -1'),
        ("[disk]\nbudget = 0", "disk.budget: must be from 1048576 to 1125899906842624 bytes; it is 0"),
        ("[disk]\nreserve = -1", 'disk.reserve: must be a size like 1048576 or "4MiB"; it is -1'),
        ("[retention]\nevent_count = 0", "retention.event_count: must be from 1 to 1000000000 events; it is 0"),
        ("[retention]\njob = 1", "retention.job: is not known; did you mean jobs?"),
        (
            "[metrics]\nlisten = 9469",
            'metrics.listen: must be an address and a port like "127.0.0.1:9469" or "[::1]:9469"; it is 9469',
        ),
        ("[metrics]\nlistn = '127.0.0.1:9469'", "metrics.listn: is not known; did you mean listen?"),
        ("access = ['x']", "access: must be a table: [access]"),
        ("[access]\nsubmitters = 'pushd'", "access.submitters: must be an array of groups; it is 'pushd'"),
        (
            "[access]\nsubmitters = ['a', '']",
            "access.submitters[1]: must be the name or id of a group; it is ''",
        ),
        (
            "[access]\nadministrators = ['*']",
            "access.administrators[0]: must be the name or id of a group; it is '*'",
        ),
        (
            "[access]\nadministrators = ['a', ['b']]",
            "access.administrators[1]: must be the name or id of a group; it is an array",
        ),
        (
            "[access]\nadministrators = [-1]",
            "access.administrators[0]: must be the name or id of a group; it is -1",
        ),
        (
            "[access]\nadministrators = ['4294967295']",
            "access.administrators[0]: must be the name or id of a group; it is '4294967295'",
        ),
        (
            '[access]\nadministrators = ["\\u001b[2J"]',
            "access.administrators[0]: must be the name or id of a group; it is '\\x1b[2J'",
        ),
        (
            "[destinations]\nallow = ['https://a.example']",
            """destinations.allow[0]: must be a pattern like "*.example.com" or "a.example:5000/team/*"; it is 'https://a.example'""",
        ),
        (
            "[destinations]\ndeny = [1]",
            'destinations.deny[0]: must be a pattern like "*.example.com" or "a.example:5000/team/*"; it is 1',
        ),
        ("sockets = 1", "sockets: must be tables: [sockets.NAME]"),
        ("[sockets]\nci = '/x'", "sockets.ci: must be a table: [sockets.ci]"),
        ("[sockets.ci]\nrole = 'submitter'", "sockets.ci: has no path: say where it is to be"),
        (
            "[sockets.ci]\npath = 'ci.sock'",
            "sockets.ci.path: must be an absolute path, beginning with /; it is 'ci.sock'",
        ),
        (
            "[sockets.ci]\npath = '/s'\nrole = 'root'",
            "sockets.ci.role: must be one of submitter, administrator; it is 'root'",
        ),
        ("[sockets.ci]\npath = '/s'\npath_s = true", "sockets.ci.path_s: is not known; did you mean paths?"),
        (
            "[sockets.CI]\npath = '/s'",
            "sockets.CI: must be named in 1 to 32 of a-z, 0-9 and -, beginning with a letter",
        ),
        (
            f"[sockets.{'a' * 33}]\npath = '/s'",
            f"sockets.{'a' * 33}: must be named in 1 to 32 of a-z, 0-9 and -, beginning with a letter",
        ),
        (
            "[sockets.ci]\npath = '/s'\n[sockets.dev]\npath = '/s/'",
            "sockets.dev.path: is that of [sockets.ci] already",
        ),
        ("[sockets.ci]\npath = '/run/pushd/pushd.sock'", "sockets.ci.path: is the main socket's already"),
        (
            "[credentials.grants]\nregistry = 'a.example'",
            "credentials.grants: must be an array of tables, [[credentials.grants]]; it is a table",
        ),
        ("[credentials]\ngrants = [1]", "credentials.grants[0]: must be a table: [[credentials.grants]]"),
        (
            "[[credentials.grants]]\nusers = ['ada']",
            "credentials.grants[0]: has no registry: say which it is for",
        ),
        (
            "[[credentials.grants]]\nregistry = 'a.example'\nusers = []",
            "credentials.grants[0]: grants nobody anything: it has neither users nor groups",
        ),
        (
            "[[credentials.grants]]\nregistry = 'a.example'\nusers = 'ada'\ngroups = ['ci']",
            "credentials.grants[0].users: must be an array of users; it is 'ada'",
        ),
        (
            "[[credentials.grants]]\nregistry = 'a.example'\nusers = ['ada,bob']",
            "credentials.grants[0].users[0]: must be the name or id of a user, or \"*\" for everyone; it is 'ada,bob'",
        ),
        (
            "[[credentials.grants]]\nregistry = '/'\nusers = [1]",
            """credentials.grants[0].registry: must be a pattern like "*.example.com" or "a.example:5000"; it is '/'""",
        ),
        (
            "[[credentials.grants]]\nregistry = '*'\nusers = ['*']\nrepositories = ['Team/*']",
            """credentials.grants[0].repositories[0]: must be a pattern like "team/*"; it is 'Team/*'""",
        ),
        (
            "[[credentials.grants]]\nregistry='*'\nusers=[1]\n[[credentials.grants]]\nregistry='*'\nuser=[]\ngroups=['x']",
            "credentials.grants[1].user: is not known; did you mean users?",
        ),
    ],
)
def test_a_mistake_names_its_key_and_what_would_be_right(text: str, mistake: str) -> None:
    assert mistakes(text) == [mistake]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file_with_their_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        loaded('[timeouts]\nconnect = "soon"\n\n[limits]\nattempts = 0\nmemry = 1\n[credential]\n')

    assert str(caught.value).splitlines() == [
        "/etc/pushd/pushd.toml: 4 mistakes",
        '  line 2: timeouts.connect: must be a duration like 90 (seconds), "90s", "15m", "2h" or "1d"; it is \'soon\'',
        "  line 5: limits.attempts: must be from 1 to 1000 times; it is 0",
        "  line 6: limits.memry: is not known; did you mean memory?",
        "  line 7: credential: is not known; did you mean credentials?",
    ]


def test_a_mistake_in_an_array_is_found_in_its_line() -> None:
    text = """\
[access]
submitters = ["pushd", ""]

[[credentials.grants]]
registry = "a.example"
users = ["ada"]

[[credentials.grants]]
registry = "b.example"
user = ["bob"]
groups = [
    "ci",
    "*",
]
"""
    with pytest.raises(ConfigError) as caught:
        loaded(text)

    assert str(caught.value).splitlines() == [
        "/etc/pushd/pushd.toml: 3 mistakes",
        "  line 2: access.submitters[1]: must be the name or id of a group; it is ''",
        "  line 10: credentials.grants[1].user: is not known; did you mean users?",
        "  line 11: credentials.grants[1].groups[1]: must be the name or id of a group; it is '*'",
    ]


def test_a_socket_is_not_where_the_command_line_puts_the_main_one() -> None:
    text = "[sockets.ci]\npath = '/s'"

    assert loaded(text).sockets["ci"].path == Path("/s")
    with pytest.raises(ConfigError, match=r"line 2: sockets\.ci\.path: is the main socket's already"):
        loaded(text, Overrides(socket=Path("/s")))


@pytest.mark.parametrize(
    "text", ["limits", "[limits\n", "a = 1\na = 2", "x = " + "[" * 10_000, "x = " + "9" * 10_000, "x = '\x1b[2J'"]
)
def test_what_is_not_toml_is_refused(text: str) -> None:
    (mistake,) = mistakes(text)

    assert mistake.startswith(": is not TOML: ")
    assert mistake.isprintable()


@given(st.text())
def test_no_text_at_all_is_anything_but_a_configuration_or_a_mistake(text: str) -> None:
    try:
        config = loaded(text)
    except ConfigError as error:
        refused = error
        assert refused.mistakes
    else:
        assert config.file == ETC


def test_a_syntax_error_tells_its_line() -> None:
    assert "line 2" in mistakes("[limits]\ndeliveries = = 3\n")[0]


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (FileNotFoundError(2, "No such file or directory"), "is not there"),
        (PermissionError(13, "Permission denied"), "cannot be read: Permission denied"),
        (IsADirectoryError(21, "Is a directory"), "cannot be read: Is a directory"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "is not UTF-8, as TOML must be"),
    ],
)
def test_a_file_that_was_named_must_be_readable(error: Exception, detail: str) -> None:
    def read_text(path: Path) -> str:
        raise error

    with pytest.raises(DaemonError) as caught:
        load(Overrides(config=Path("/x.toml")), {}, read_text, uid=0)

    assert (caught.value.code, caught.value.subject, caught.value.detail) == (Code.DAEMON_CONFIG, "/x.toml", detail)


def test_a_file_in_the_usual_place_that_cannot_be_read_is_not_overlooked() -> None:
    def read_text(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(DaemonError, match=r"/etc/pushd/pushd\.toml: cannot be read: Permission denied"):
        load(Overrides(), {}, read_text, uid=0)


def test_a_place_nobody_tells_is_asked_for() -> None:
    with pytest.raises(DaemonError, match=r"daemon\.socket: is not set.*give --socket PATH, or set PUSHD_SOCKET"):
        load(Overrides(), {"HOME": "/home/ada"}, files({}), uid=1000)
    with pytest.raises(DaemonError, match=r"daemon\.state_dir: is not set.*give --state-dir PATH"):
        load(Overrides(socket=Path("/s")), {}, files({}), uid=1000)


# ------------------------------------------------------------------------------------------------- the metrics' port


@pytest.mark.parametrize("text", ["127.0.0.1:9469", "127.8.9.10:1", "[::1]:65535"])
def test_metrics_are_served_on_loopback_without_more_words(text: str) -> None:
    listen = loaded(f"[metrics]\nlisten = '{text}'").metrics.listen

    assert str(listen) == text


@pytest.mark.parametrize("text", ["0.0.0.0:9469", "192.0.2.1:80", "[::]:9469", "[2001:db8::1]:9469", "[fe80::1]:1"])
def test_metrics_are_served_to_other_machines_only_where_that_is_said(text: str) -> None:
    told = mistakes(f"[metrics]\nlisten = '{text}'")

    assert [line.partition(" ")[0] for line in told] == ["metrics.listen:"]
    assert f"other machines may get to {text}" in told[0]
    assert str(loaded(f"[metrics]\nlisten = '{text}'\nallow_remote = true").metrics.listen) == text


@pytest.mark.parametrize(
    "text",
    [
        *("9469", ":9469", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.256:1", "127.1:80"),
        *("::1:9469", "[::1]", "[127.0.0.1]:1", "127.0.0.1:1x", "[::g]:1", "localhost:1", "http://127.0.0.1:1", ""),
    ],
)
def test_where_metrics_are_served_is_an_address_and_a_port(text: str) -> None:
    (told,) = mistakes(f"[metrics]\nlisten = '{text}'")

    assert told.startswith("metrics.listen: must be an address and a port")

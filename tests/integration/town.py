"""A town of registries, one behind each kind of door, with streets of many names to them, and a daemon that knows them.

A place is an address of its own, so that each way in, and each mistake on it, has a line of configuration of its own,
and one daemon serves for all of them.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.fakes.authority import Authority
from tests.fakes.credential_helper import CredentialHelper
from tests.fakes.forward_proxy import ForwardProxy
from tests.fakes.redirecting import Redirecting
from tests.fakes.signer import Signer
from tests.fakes.token_server import TokenServer
from tests.integration.doors import HTPASSWD, OPEN, PASSWORD, USER, Door, Tokens
from tests.integration.nginx import Nginx
from tests.integration.parts import RealRegistry
from tests.torture.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from tests.fakes.credential_helper import Mood
    from tests.integration.parts import Tool

IDENTITY = "an-identity-token"
BODY_LIMIT = 64 << 10
"""Bytes of a body that nginx takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address that images are pushed to.

    Attributes:
        address: `host:port`, as in references.
        end: the registry at the end of the way.
        settings: what the configuration says of it.
    """

    address: str
    end: RealRegistry
    settings: Mapping[str, Any] = field(default_factory=dict)


def basic(password: str = PASSWORD, username: str = USER) -> dict[str, str]:
    """Give an entry of `auths` (Docker's `config.json`)."""
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def identity(token: str) -> dict[str, str]:
    """Give an entry of `auths` with an identity token, as Docker writes it."""
    return {**basic("", "<token>"), "identitytoken": token}


class Town:
    """All of it, running.

    Args:
        tool: which of distribution's registries.
        directory: for their files.
        stack: ends everything.

    Attributes:
        authority: whom those who are configured so trust.
        stranger: another, whom nobody does.
        tokens: the token service.
        certs_d: a directory of Docker's layout.
        docker_config: the daemon's, once its configuration is written.
        credentials: the directory systemd would name in `CREDENTIALS_DIRECTORY`.
        podman_auths: the `auths` of podman's file.
        helpers: by name; the directory of all is to be on PATH.
        redirecting: registries in front of the open one, by address.
    """

    def __init__(self, tool: Tool, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.authority = Authority(directory / "authority")
        self.stranger = Authority(directory / "stranger", "a stranger")
        self.certs_d = directory / "certs.d"
        self.credentials = directory / "credentials"
        self.docker_config = directory / "config.json"
        self.podman_auths: dict[str, Any] = {}
        self.helpers: dict[str, CredentialHelper] = {}
        self.redirecting: dict[str, Redirecting] = {}
        self._tool = tool
        self._stack = stack
        self._auths: dict[str, Any] = {}
        self._asks: dict[str, str] = {}
        self._places: list[Place] = []
        self._htpasswd = directory / "htpasswd"
        self._htpasswd.write_text(HTPASSWD)
        self.tokens = stack.enter_context(
            TokenServer(Signer(self.authority.server("tokens")), accounts={USER: PASSWORD}, identities={IDENTITY: USER})
        )
        self._ends = {name: self._build(name, door) for name, door in self._doors().items()}
        self._streets = {name: stack.enter_context(Proxy(end.address)) for name, end in self._ends.items()}
        self.proxy = stack.enter_context(
            ForwardProxy(
                {"registry.test:5000": self._ends["tls"].address, "plain.test:5000": self._ends["open"].address},
                account=("me", "a word"),
            )
        )

    def _doors(self) -> dict[str, Door]:
        told = Tokens(
            realm=self.tokens.realm,
            service=self.tokens.service,
            issuer=self.tokens.issuer,
            bundle=self.authority.ca,
        )
        pair = self.authority.server("127.0.0.1", "registry.test")
        return {
            "open": OPEN,
            "users": Door(htpasswd=self._htpasswd),
            "tokens": Door(tokens=told),
            "tokens by ftp": Door(tokens=replace(told, realm=told.realm.replace("http:", "ftp:"))),
            "tokens in the open": Door(pair=pair, tokens=told),
            "tls": Door(pair=pair),
            "clients": Door(pair=pair, clients=self.authority.ca, htpasswd=self._htpasswd),
            "expired": Door(pair=self.authority.server("127.0.0.1", expired=True)),
            "another name": Door(pair=self.authority.server("registry.example")),
        }

    def _build(self, name: str, door: Door) -> RealRegistry:
        directory = self.directory / name.replace(" ", "-")
        directory.mkdir()
        real = RealRegistry(name, self._tool.find(), directory, door)
        self._stack.callback(real.stop)
        real.start()
        return real

    # ------------------------------------------------------------------------------------------------- places

    def place(
        self,
        end: str,
        *,
        address: str | None = None,
        auth: Mapping[str, str] | None = None,
        podman: Mapping[str, str] | None = None,
        systemd: str | None = None,
        helper: str | None = None,
        certificates: Mapping[str, Path] | None = None,
        **settings: object,
    ) -> Place:
        """Give a new address of a registry.

        Args:
            end: the door it leads to.
            address: where that is somewhere else than in a street to it.
            auth: what the daemon's Docker configuration holds for it,
            podman: or the one podman would write,
            systemd: or a credential handed over by systemd,
            helper: or who keeps it.
            certificates: files by name in the directory for it (`certs.d`).
            settings: of the configuration.
        """
        if systemd is not None:
            name = f"registry-{len(self._places)}"
            self.credentials.mkdir(exist_ok=True)
            (self.credentials / name).write_text(systemd)
            settings["credential"] = name
        place = Place(address=address or self._streets[end].listen(), end=self._ends[end], settings=settings)
        self._places.append(place)
        if auth is not None:
            self._auths[place.address] = auth
        if podman is not None:
            self.podman_auths[place.address] = podman
        if helper is not None:
            self._asks[place.address] = helper
        for name, file in (certificates or {}).items():
            target = self.certs_d / place.address / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
        return place

    def helper(self, name: str, *, username: str = USER, secret: str = PASSWORD, mood: Mood | None = None) -> str:
        """Write a credential helper; give its name."""
        self.helpers[name] = CredentialHelper(
            self.directory / "helpers", name, username=username, secret=secret, mood=mood
        )
        return name

    def behind_nginx(self, **more: Any) -> Place:
        """Give the place of nginx in front of the open registry."""
        directory = self.directory / f"nginx-{len(self._places)}"
        directory.mkdir()
        nginx = Nginx(
            directory,
            upstream=self._ends["open"].address,
            pair=self.authority.server("127.0.0.1"),
            htpasswd=self._htpasswd,
            body_limit=BODY_LIMIT,
        )
        self._stack.callback(nginx.stop)
        nginx.start()
        return self.place("open", address=nginx.address, ca=self.authority.ca, plain_http=False, **more)

    def before_a_storage(self, *, redirects: bool) -> Place:
        """Give the place of a registry that leads uploads to another host."""
        behind = self._ends["open"].address
        front = self._stack.enter_context(Redirecting(behind, account=(USER, PASSWORD), redirects=redirects))
        self.redirecting[front.address] = front
        return self.place("open", address=front.address, auth=basic())

    # ------------------------------------------------------------------------------------------ for the daemon

    def configuration(self, proxy: str) -> str:
        """Write the daemon's Docker configuration; give its own (TOML), with everything through this proxy."""
        self.docker_config.write_text(json.dumps({"auths": self._auths, "credHelpers": self._asks}))
        self.docker_config.chmod(0o600)
        tables: dict[str, Mapping[str, Any]] = {
            "credentials": {"docker_config": self.docker_config, "helper_timeout": "1s"},
            "tls": {"certs_d": [self.certs_d]},
            "proxy": {"http": proxy, "https": proxy, "no_proxy": []},
            **{f'registries."{place.address}"': place.settings for place in self._places if place.settings},
        }
        # Texts, numbers, booleans and arrays of JSON are TOML as well.
        return "\n".join(
            "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value, default=str)}" for key, value in table.items())])
            for name, table in tables.items()
        )

    def reading(self) -> tuple[str, ...]:
        """Give the options of skopeo to read from any of the registries at the ends."""
        directory = self.directory / "reader"
        directory.mkdir(exist_ok=True)
        reader = self.authority.client("reader")
        for name, file in {"client.cert": reader.cert, "client.key": reader.key}.items():
            (directory / name).write_bytes(file.read_bytes())
        return ("--src-creds", f"{USER}:{PASSWORD}", "--src-cert-dir", str(directory))

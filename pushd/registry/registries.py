"""All registries of the daemon: one client per registry and credential, so that tokens outlive a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.registry.client import RegistryClient
from pushd.registry.credentials import docker_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pushd.registry.credentials import Credential
    from pushd.registry.settings import Settings
    from pushd.registry.wire import Wire


class Registries:
    """Gives the client for a registry.

    Args:
        wire: the HTTP below.
        settings: gives how the registry `host[:port]` is spoken to.
        docker_config: the Docker configuration with the daemon's credentials, or None when there is no such place.
    """

    def __init__(self, wire: Wire, *, settings: Callable[[str], Settings], docker_config: Path | None) -> None:
        self._wire = wire
        self._settings = settings
        self._docker_config = docker_config
        self._clients: dict[tuple[str, Credential | None], RegistryClient] = {}

    async def connect(self, name: str) -> RegistryClient:
        """Give the client of `host[:port]`, with the credential as the file holds it now. No request is made.

        Raises:
            RegistryError: `registry.credentials`, the file or its entry cannot be used.
        """
        credential = None if self._docker_config is None else await docker_config(str(self._docker_config), name)
        client = self._clients.get((name, credential))
        if client is None:
            client = RegistryClient(name, self._settings(name), credential, self._wire)
            self._clients[name, credential] = client
        return client

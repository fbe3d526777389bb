"""TLS contexts for the hosts of all registries: made once, and anew when what they are made of has changed."""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pushd.errors import RegistryError
from pushd.registry.tls import (
    Host,
    Tls,
    check_valid,
    directories,
    gather,
    make_context,
    names_of,
    system_context,
    validity,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from pushd.registry.expiring import Expiring
    from pushd.registry.tls import Material

_KEPT: Final = 1024
"""Contexts kept: registries may lead to any host, one after the other."""
_FRESH: Final = 1.0
"""Seconds for which nobody looks whether a file has changed."""
_SETTLING: Final = 5.0
"""Seconds what was good goes on to be used: a certificate and its key are replaced one after the other."""

_Stamp = tuple[int, int, int] | None
_Wanted = tuple[Host, Host | None, bool]
"""Whose context, who vouches besides, and whether our client certificate is shown."""


@dataclass(slots=True)
class _Made:
    """A context, and what tells whether it still holds.

    Attributes:
        material: of the host itself.
        period: in which its client certificate is good.
        watched: what it is made of, with how that looked.
        looked_at: when it was looked at last.
        broken_since: since when what is there now cannot be used; None while it can.
    """

    context: ssl.SSLContext
    material: Material
    period: tuple[datetime, datetime] | None
    watched: dict[Path | str, _Stamp]
    looked_at: float
    broken_since: float | None = None

    @property
    def unchanged(self) -> bool:
        """Whether all it is made of looks as it did."""
        return all(_stamp(path) == stamp for path, stamp in self.watched.items())


class Certificates:
    """Gives TLS contexts.

    Args:
        certs_d: directories of Docker's layout; those that come first go first.
        hosts: what is configured, by `host[:port]` as in references.
        clock: gives seconds that never go back.
        expiring: is told until when our own certificates are good, or None.
    """

    def __init__(
        self,
        certs_d: Sequence[Path] = (),
        hosts: Mapping[str, Tls] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        expiring: Expiring | None = None,
    ) -> None:
        self._certs_d = certs_d
        self._hosts = hosts or {}
        self._clock = clock
        self._expiring = expiring
        self._made: dict[_Wanted, _Made] = {}

    def host(self, url: str) -> Host:
        """Give the host of an https URL, with what is configured for it."""
        names = names_of(url)
        return Host(names, next((self._hosts[name] for name in names if name in self._hosts), Tls()))

    def has_some_for(self, host: Host) -> bool:
        """Whether anything is set up for a host: then it speaks TLS, wherever it is."""
        return host.tls != Tls() or any(map(os.path.isdir, directories(host, self._certs_d)))

    def system(self) -> ssl.SSLContext:
        """Give the context of a host for which there is nothing."""
        return self.context(_NOBODY)

    def context(self, host: Host, *, vouching: Host | None = None, shown: bool = True) -> ssl.SSLContext:
        """Give the context for a host.

        Args:
            host: with its authorities, its client certificate, and its leave not to be verified.
            vouching: whose authorities count as well; such a host is always verified.
            shown: whether our client certificate is shown to it.

        Raises:
            RegistryError: `registry.tls_files`, `.tls_key_mismatch`, `.tls_expired`: a file is of no use.
        """
        now, key = self._clock(), (host, vouching, shown)
        made = self._made.get(key)
        if made is None:
            made = self._make(*key, now)
            while len(self._made) >= _KEPT:
                del self._made[next(iter(self._made))]
            self._made[key] = made
        elif now - made.looked_at >= _FRESH:
            made.looked_at = now
            if made.broken_since is not None or not made.unchanged:
                made = self._made[key] = self._remade(made, key, now)
        if made.period is not None:
            check_valid(host, made.material, made.period, datetime.now(UTC))
            if self._expiring is not None and made.material.client is not None:
                self._expiring.client(host.names[0], str(made.material.client[0]), made.period[1])
        return made.context

    def _remade(self, made: _Made, wanted: _Wanted, now: float) -> _Made:
        try:
            return self._make(*wanted, now)
        except RegistryError:
            if made.broken_since is None:
                made.broken_since = now
            if now - made.broken_since < _SETTLING:
                return made
            del self._made[wanted]
            raise

    def _make(self, host: Host, vouching: Host | None, shown: bool, now: float) -> _Made:  # noqa: FBT001 (as wanted)
        hosts = (host,) if vouching is None else (host, vouching)
        # Looked at before they are read: what changes in between is noticed the next time.
        watched = _stamps(path for each in hosts for path in directories(each, self._certs_d))
        materials = [gather(each, self._certs_d) for each in hosts]
        if not shown:
            materials[0] = replace(materials[0], client=None)
        watched |= _stamps(file for material in materials for file in material.files)
        verified = vouching is not None or not host.tls.insecure_skip_verify
        if host is not _NOBODY and verified and not any(material.files for material in materials):
            return _Made(self.system(), materials[0], None, watched | self._made[_NOBODY, None, True].watched, now)
        watched |= _stamps(path for path in _system_places() if path)
        context = system_context() if host is _NOBODY else make_context(host, *materials, verified=verified)
        return _Made(context, materials[0], validity(materials[0]), watched, now)


_NOBODY: Final = Host(())
"""Of whom nothing is known."""


def _system_places() -> tuple[str | None, ...]:
    places = ssl.get_default_verify_paths()
    return places.cafile, places.capath


def _stamps(paths: Iterable[Path | str]) -> dict[Path | str, _Stamp]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path | str) -> _Stamp:
    """Give what differs when a file, or the list of files in a directory, does; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a text or a path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size

"""The key that credentials are sealed with: from systemd, or from a file beside the database.

One that is there is never replaced, whatever state it is in: what was sealed with it could not be opened any more.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, DaemonError

if TYPE_CHECKING:
    from pathlib import Path

SIZE: Final = 32
"""Bytes of the key: AES-256."""
CREDENTIAL: Final = "pushd.key"
"""The name of the systemd credential that holds one."""
FILE: Final = "sealing.key"
"""The name of the file in the state directory that does."""
_MOST: Final = 1 << 20
"""Bytes of a systemd credential (systemd.exec(5), "LoadCredential=")."""
_PURPOSE: Final = b"pushd sealing key"
_OTHERS: Final = 0o077
_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO there must not hang the daemon


@dataclass(frozen=True, slots=True)
class Key:
    """A key.

    Attributes:
        secret: `SIZE` bytes.
        where: the file it came from.
    """

    secret: bytes = field(repr=False)
    where: str


def load_key(state_dir: Path, directory: Path | None) -> Key:
    """Read the key, or make one where there is none. Blocks.

    Args:
        state_dir: of the daemon; the key is in there unless systemd hands one over.
        directory: of systemd's credentials for the service, `$CREDENTIALS_DIRECTORY`; None when there is none.

    Raises:
        DaemonError: `daemon.config`, the file there is cannot be used, or none can be made.
    """
    if directory is not None:
        content = _read(directory / CREDENTIAL)
        if content is not None:
            hint = "write at least 32 random bytes to what LoadCredential= names: openssl rand 32"
            return Key(_made_of(content, directory / CREDENTIAL, hint), str(directory / CREDENTIAL))
    path = state_dir / FILE
    content = _read(path, private=True)
    if content is None:
        _create(path)
        content = _read(path, private=True)
    hint = "restore it from a backup; or remove it to begin anew, and what was sealed with it has to be brought again"
    return Key(_made_of(content or b"", path, hint), str(path))


def _read(path: Path, *, private: bool = False) -> bytes | None:
    """Read a file; None when it is not there.

    Args:
        path: of the file.
        private: whether it must be the daemon's, and nobody else's to read.
    """
    try:
        file = os.open(path, _OPEN)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise _wrong(path, "is no regular file", "remove it")
        if private:
            _check_private(path, status)
        with os.fdopen(file, "rb", closefd=False) as opened:
            return opened.read(_MOST)
    except OSError as error:
        raise _unusable(path, error) from error
    finally:
        os.close(file)


def _check_private(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        detail = f"belongs to uid {status.st_uid}, and not to the daemon's, {os.geteuid()}"
        raise _wrong(path, detail, f"see who put it there; if it is to be trusted: chown {os.geteuid()} {path}")
    if status.st_mode & _OTHERS:
        detail = f"may be read or written by others (mode {stat.S_IMODE(status.st_mode):04o})"
        raise _wrong(path, detail, f"chmod 600 {path}; if somebody may have read it, remove it and log in anew")


def _made_of(content: bytes, path: Path, hint: str) -> bytes:
    """Make the key of what a file holds: of exactly `SIZE` bytes it is these, of more what HKDF makes of them."""
    if len(content) < SIZE:
        raise _wrong(path, f"has {len(content)} bytes, and a key has at least {SIZE}", hint)
    if len(content) == SIZE:
        return content
    # Imported late: a daemon that nobody hands a credential to needs none of it.
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 (late, as said)
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 (late, as said)

    return HKDF(algorithm=SHA256(), length=SIZE, salt=None, info=_PURPOSE).derive(content)


def _create(path: Path) -> None:
    """Make a key and put it in its place, whole and durable, unless another daemon was quicker: then theirs is it.

    Written beside and linked into place, which fails where there is a file: a crash midway leaves none that is short.
    """
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with ExitStack() as undo:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            undo.callback(fresh.unlink)
            with os.fdopen(file, "wb") as opened:
                os.fchmod(file, 0o600)  # whatever the umask takes away
                opened.write(secrets.token_bytes(SIZE))
                opened.flush()
                os.fsync(file)
            with suppress(FileExistsError):
                os.link(fresh, path)
        _make_durable(path.parent)
    except OSError as error:
        raise _unusable(path, error) from error


def _make_durable(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _unusable(path: Path, error: OSError) -> DaemonError:
    reason = os.strerror(error.errno) if error.errno is not None else "refused"
    hint = f"uid {os.geteuid()}, the daemon's, must be able to read it, or to write it where there is none"
    return _wrong(path, f"cannot be used ({reason})", hint)


def _wrong(path: Path, detail: str, hint: str) -> DaemonError:
    return DaemonError(Code.DAEMON_CONFIG, str(path), detail, hint=hint)

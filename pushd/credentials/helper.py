"""Credential helpers: programs that keep credentials, as Docker's `docker-credential-*` do.

`docker-credential-NAME get` takes the registry on its standard input and answers with JSON ("Credential helper
protocol", Docker; docker-credential-helpers). What it says when it fails goes to standard output as a rule, and so
may secrets: of that nothing is ever shown.
"""

from __future__ import annotations

import errno
import os
import re
import selectors
import shlex
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Final, cast

from pushd.credentials.answer import read_answer
from pushd.errors import Code, RegistryError
from pushd.oci.text import printable, quoted

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from pushd.credentials.answer import Answer

    _Pipes = tuple[IO[bytes], IO[bytes], IO[bytes]]

PATIENCE: Final = 10.0
"""Seconds a helper has where nothing is configured."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ANSWER_LIMIT: Final = 64 << 10  # bytes
_ERRORS_LIMIT: Final = 4 << 10  # bytes
_PIECE: Final = 16 << 10  # bytes
_SHOWN: Final = 120  # characters of what it said
_UNKNOWN: Final = (
    "credentials not found in native keychain",
    "item could not be found in the keychain",
    "no usernames for",
)
"""How helpers say that they have no credential: Docker's library, macOS through it, and `pass`."""
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ELOOP})


def program(helper: str) -> str:
    """Give the name of a helper's program."""
    return f"docker-credential-{helper}"


def ask(
    helper: str, server: str, *, timeout: float = PATIENCE, environ: Mapping[str, str] | None = None
) -> Answer | None:
    """Ask a helper for a registry's credential, as the user who runs this; None when it has none. Blocks.

    When this returns, nothing is left of its process group, whatever it did.

    Args:
        helper: its name, without `docker-credential-`.
        server: what it is asked for.
        timeout: seconds it has.
        environ: for it, with the PATH it is looked for in; this process's own when None.

    Raises:
        RegistryError: `registry.helper_missing`, it cannot be run; `registry.helper_timeout`;
            `registry.helper_failed`, it says so by its exit status; `registry.helper_malformed`, it answers something
            else, or too much.
    """
    if not _NAME.fullmatch(helper):
        hint = "mend `credHelpers` or `credsStore` in the file that names it"
        raise RegistryError(
            Code.REGISTRY_HELPER_MISSING, quoted(helper), "is no name of a credential helper", hint=hint
        )
    fault = _Fault(helper, server)
    process = _start(helper, environ, fault)
    try:
        said, complained = _listen(process, server, timeout, fault)
    except OSError as error:
        raise fault.not_run(error) from None
    finally:
        _end(process)
    if process.returncode != 0:
        if any(words in text.lower() for text in (_text(said), _text(complained)) for words in _UNKNOWN):
            return None
        raise fault.failed(process.returncode, complained)
    try:
        return read_answer(said, datetime.now(UTC))
    except ValueError as error:
        raise fault.malformed(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Fault:
    """Tells what a helper did wrong, and how to see it."""

    helper: str
    server: str

    def missing(self, error: OSError) -> RegistryError:
        detail = f"cannot be run: {error.strerror or type(error).__name__}"
        hint = "install it where PATH leads, for whoever asks, or take it out of the file that names it"
        return RegistryError(Code.REGISTRY_HELPER_MISSING, program(self.helper), detail, hint=hint)

    def late(self, timeout: float) -> RegistryError:
        return self._tell(Code.REGISTRY_HELPER_TIMEOUT, f"did not answer within {timeout:g} s")

    def failed(self, status: int, complained: bytes) -> RegistryError:
        how = f"exited with {status}" if status > 0 else f"was ended by signal {-status}"
        first = next((line for line in _text(complained).splitlines() if line.strip()), "")
        return self._tell(Code.REGISTRY_HELPER_FAILED, f"{how}: {printable(first, _SHOWN)}" if first else how)

    def not_run(self, error: OSError) -> RegistryError:
        why = error.strerror or type(error).__name__
        return self._tell(Code.REGISTRY_HELPER_FAILED, f"could not be run: {why}")

    def malformed(self, detail: str) -> RegistryError:
        return self._tell(Code.REGISTRY_HELPER_MALFORMED, detail)

    def _tell(self, code: Code, detail: str) -> RegistryError:
        hint = f"see what it says: echo {shlex.quote(printable(self.server, _SHOWN))} | {program(self.helper)} get"
        return RegistryError(code, program(self.helper), detail, hint=hint)


def _start(helper: str, environ: Mapping[str, str] | None, fault: _Fault) -> subprocess.Popen[bytes]:
    import subprocess  # noqa: PLC0415 (most callers have no helper, and a command must start fast)

    pipe = subprocess.PIPE
    try:
        # A session of its own: it can be ended with all that it started, and has no terminal to wait for a person at.
        return subprocess.Popen(  # noqa: S603 (the name was checked, and no shell reads it)
            [program(helper), "get"],
            bufsize=0,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=None if environ is None else dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        raise (fault.missing if error.errno in _ABSENT else fault.not_run)(error) from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of its process group, and reap it: until then the number is nobody else's."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _listen(process: subprocess.Popen[bytes], server: str, timeout: float, fault: _Fault) -> tuple[bytes, bytes]:
    """Give what it wrote to standard output and to standard error until it ended.

    Its end is what is waited for, not that of its pipes: a process it left behind may hold those for ever.
    """
    deadline = time.monotonic() + timeout
    stdin, stdout, stderr = cast("_Pipes", (process.stdin, process.stdout, process.stderr))
    with suppress(BrokenPipeError):  # it need not listen to speak
        stdin.write(server.encode(errors="replace"))
    stdin.close()
    said, complained = bytearray(), bytearray()
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(ended, selectors.EVENT_READ)
            for pipe, buffer in ((stdout, said), (stderr, complained)):
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, buffer)
            while True:
                left = deadline - time.monotonic()
                ready = selector.select(left) if left > 0 else []
                if not ready:
                    raise fault.late(timeout)
                # Its end is looked at before its pipes: what it wrote before is then in them.
                over = any(key.fileobj == ended for key, _ in ready)
                for key in list(selector.get_map().values()):
                    if key.data is not None and not _take(key.fd, key.data, to_the_end=over):
                        selector.unregister(key.fileobj)
                if len(said) > _ANSWER_LIMIT:
                    raise fault.malformed(f"answers with more than {_ANSWER_LIMIT >> 10} KiB")
                if over:
                    return bytes(said), bytes(complained)
                del complained[_ERRORS_LIMIT:]
    finally:
        os.close(ended)


def _take(fd: int, buffer: bytearray, *, to_the_end: bool) -> bool:
    """Take a piece of what is in a pipe, or all up to what is too much; False when nothing more can come."""
    while True:
        try:
            piece = os.read(fd, _PIECE)
        except BlockingIOError:
            return True
        buffer += piece
        if not piece:
            return False
        if not to_the_end or len(buffer) > _ANSWER_LIMIT:
            return True


def _text(content: bytes) -> str:
    return content.decode(errors="replace")

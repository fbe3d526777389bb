"""Passwords and tokens on their way in: from standard input, or from whoever sits at the terminal."""

from __future__ import annotations

import sys
from typing import Final

_LONGEST: Final = 1 << 16
"""Bytes, more than any daemon takes."""


class UnaskedError(Exception):
    """There is nothing to be had, for the reason that is its text."""


def read_secret() -> str:
    """Read a password or token from standard input, but for the line break that `echo` and editors leave at its end.

    Raises:
        UnaskedError: it is empty, too long, or not UTF-8.
    """
    content = b"" if sys.stdin is None else sys.stdin.buffer.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise UnaskedError(f"standard input has more than {_LONGEST} bytes: that is no password")
    try:
        secret = content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise UnaskedError("standard input is not UTF-8") from None  # the error quotes what it could not read
    if not secret:
        raise UnaskedError("standard input is empty: did the command before the pipe fail?")
    return secret


def ask_user() -> str:
    """Ask on the terminal for a user name.

    Raises:
        UnaskedError: nobody sits there, or they said nothing.
    """
    _check_terminal()
    print("user name: ", end="", file=sys.stderr, flush=True)
    return _given(sys.stdin.readline().strip(), "user name")


def ask_password() -> str:
    """Ask on the terminal for a password, which is not shown there.

    Raises:
        UnaskedError: as `ask_user`; or the terminal would show it.
    """
    _check_terminal()
    import getpass  # noqa: PLC0415 (only here)
    import warnings  # noqa: PLC0415 (the same)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return _given(getpass.getpass("password: ", stream=sys.stderr), "password")
    except EOFError:
        raise UnaskedError("no password was given") from None
    except getpass.GetPassWarning:
        raise UnaskedError("this terminal would show the password: use --password-stdin") from None


def _check_terminal() -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UnaskedError("standard input is no terminal to ask on: give --username, and --password-stdin")


def _given(text: str, what: str) -> str:
    if not text:
        raise UnaskedError(f"no {what} was given")
    return text

"""Where the socket of a container engine is: where Docker's own command looks for it, else where they usually are."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from pushd.errors import Code, SourceError
from pushd.oci.text import printable
from pushd.source.name import SHOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

_DOCKER: Final = "/var/run/docker.sock"
_PODMAN: Final = "podman/podman.sock"
_UNIX: Final = "unix://"
_DEFAULT: Final = "default"
_CHOOSE: Final = f"name the socket in DOCKER_HOST={_UNIX}/PATH"
_ELSEWHERE: Final = "pipe the image: docker save IMAGE | pushctl push - DESTINATION"


def engine_sockets(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Name the sockets an engine may be behind, in the order in which they are tried.

    It is one alone where the caller chose it: in `$DOCKER_HOST`, or with a context of Docker's, in `$DOCKER_CONTEXT` or
    by `docker context use`. Else Docker's, and podman's: the caller's own and the system's.

    Raises:
        SourceError: `source.unsupported`, what was chosen is not behind a socket on this machine; `source.unreadable`,
            it cannot be told what was chosen.
    """
    if host := environ.get("DOCKER_HOST"):
        return (_path(host, "DOCKER_HOST"),)
    configuration = environ.get("DOCKER_CONFIG") or f"{environ.get('HOME', '')}/.docker"
    context = environ.get("DOCKER_CONTEXT") or _current(f"{configuration}/config.json")
    if context not in ("", _DEFAULT):
        return (_of_context(context, configuration),)
    own = environ.get("XDG_RUNTIME_DIR")
    return (_DOCKER, *([f"{own}/{_PODMAN}"] if own else []), f"/run/{_PODMAN}")


def _current(file: str) -> str:
    """Give the context that is in use; nothing where none was chosen."""
    context = (_document(file, file) or {}).get("currentContext", "")
    if not isinstance(context, str):
        raise _unreadable(file, "has a currentContext that is no name")
    return context


def _of_context(context: str, configuration: str) -> str:
    """Give the socket of a context, from where Docker's command stores it (docker/cli, `cli/context/store`)."""
    named = f"Docker's context {context}"
    directory = hashlib.sha256(context.encode(errors="surrogateescape")).hexdigest()
    document = _document(f"{configuration}/contexts/meta/{directory}/meta.json", named)
    if document is None:
        raise _unreadable(named, "is not there", hint=f"`docker context ls` lists those there are; or {_CHOOSE}")
    try:
        host = document["Endpoints"]["docker"]["Host"]
    except (KeyError, TypeError):
        host = None
    if not isinstance(host, str) or not host:
        raise SourceError(Code.SOURCE_UNSUPPORTED, _shown(named), "names no engine", hint=_CHOOSE)
    return _path(host, named)


def _path(host: str, chosen: str) -> str:
    path = host.removeprefix(_UNIX)
    if host.startswith(_UNIX) and path.startswith("/") and "\0" not in path:
        return path
    if "://" not in host:
        hint = f"write it as {_UNIX}{host}" if host.startswith("/") else f"write it as {_UNIX}/PATH"
    elif host.startswith(_UNIX):
        hint = f"write it as {_UNIX}/PATH"
    else:
        hint = _ELSEWHERE
    detail = f"is {host}, no socket on this machine"
    raise SourceError(Code.SOURCE_UNSUPPORTED, _shown(chosen), _shown(detail), hint=_shown(hint))


def _document(file: str, subject: str) -> Mapping[str, Any] | None:
    """Read a JSON object; None where there is no such file."""
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 (a path out of the environment need not be one pathlib takes)
            document = json.loads(stream.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(subject, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(subject, "is not JSON") from error
    if not isinstance(document, dict):
        raise _unreadable(subject, "is no JSON object")
    return document


def _unreadable(subject: str, detail: str, *, hint: str = _CHOOSE) -> SourceError:
    return SourceError(Code.SOURCE_UNREADABLE, _shown(subject), detail, hint=hint)


def _shown(text: str) -> str:
    return printable(text, SHOWN)

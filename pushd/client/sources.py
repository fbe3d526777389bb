"""Where a source is, said so that the daemon finds it too."""

from __future__ import annotations

import os

from pushd.errors import Code, RequestError

_WITH_REF = frozenset({"oci", "oci-archive", "docker-archive"})
_ON_DISK = _WITH_REF | {"dir"}


def in_registry(source: str) -> tuple[str, ...]:
    """Give the source when it is in a registry, `docker://REF`; nothing when it is not."""
    return (source,) if source.startswith("docker://") else ()


def absolute(source: str, directory: str | None = None) -> str:
    """Give the same source with its path made absolute, because the daemon's directory is not the caller's.

    `oci:DIR[:REF]`, `oci-archive:FILE[:REF]` and `docker-archive:FILE[:REF]` are split at the first colon of what
    follows the kind; what stands behind it is the REF and stays as it is. Of `dir:DIR` all is path. Whatever else is
    there, the daemon judges.

    Args:
        source: as written.
        directory: what a relative path begins in; the process's own when None.

    Raises:
        RequestError: `request.malformed`; the directory has a colon in its own path, where the daemon would
            take the REF to begin.
    """
    kind, colon, rest = source.partition(":")
    path, ref_colon, ref = rest.partition(":") if kind in _WITH_REF else (rest, "", "")
    if kind not in _ON_DISK or not path or path.startswith("/"):
        return source
    base = os.getcwd() if directory is None else directory  # noqa: PTH109 (pathlib would be imported for this alone)
    if ":" in base and kind in _WITH_REF:
        raise RequestError(
            Code.REQUEST_MALFORMED, source, f"the directory it is relative to, {base}, has a colon in its path",
            hint="a colon ends the path of a source: name it by another way there, such as a symbolic link",
        )  # fmt: skip
    # `.` says nothing and goes; `..` stays, since behind a symbolic link only the kernel knows what it means.
    steps = [step for step in path.split("/") if step not in ("", ".")]
    return f"{kind}{colon}{'/'.join([base.rstrip('/'), *steps]) or '/'}{ref_colon}{ref}"

"""The name of a source, as skopeo and podman spell it (containers-transports(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum, unique

from pushd.errors import Code, SourceError
from pushd.job import IN_ENGINE
from pushd.oci.text import printable

SHOWN = 512
"""How many characters of a path or a name an error shows."""

COLONS = "a path ends at its first colon, but dir: takes no :REF"
"""What a person should know of colons who named a path at which there is nothing."""


_FORMS = "oci:DIR[:REF], oci-archive:FILE[:REF], docker-archive:FILE[:REF], dir:DIR or docker://REF"


@unique
class Kind(StrEnum):
    """What is found at the path."""

    LAYOUT = "oci"
    """A directory with an OCI image layout."""
    ARCHIVE = "oci-archive"
    """An uncompressed tar of one."""
    DOCKER = "docker-archive"
    """An uncompressed tar as `docker save` writes it."""
    DIR = "dir"
    """A directory with one image, its files side by side."""


@dataclass(frozen=True, slots=True)
class SourceName:
    """A source's name, taken apart.

    Attributes:
        path: absolute.
        reference: which image of several, or empty for the only one; always empty for `dir`.
    """

    kind: Kind
    path: str
    reference: str

    @classmethod
    def parse(cls, text: str) -> SourceName:
        """Read `KIND:PATH[:REF]`, or `dir:PATH`.

        The path ends at the first colon, for skopeo does it so: a path with a colon in it has no name, and a
        reference may have as many as it likes. Where there is one image and nothing to choose, with `dir`, all that
        follows is the path, colons included: `skopeo sync` writes directories such as `registry.example.com/app:1.4`.

        `docker-daemon:IMAGE` is none of these: it is in the spool by the time it is opened, be it that the daemon asked
        the engine, for those it does that for, or that the caller brought it.

        Raises:
            SourceError: `source.unsupported`; an unknown kind, a relative path, or what no path can be.
        """
        prefix, colon, rest = text.partition(":")
        if text.startswith(IN_ENGINE):
            detail = (
                "is in a container engine, which is not asked by the daemon but by the caller, with their own rights"
            )
            hint = f"`pushctl push {text} DESTINATION` brings it"
            raise _refused(text, detail, hint=printable(hint, SHOWN))
        if not colon or prefix not in {kind.value for kind in Kind}:
            detail = "is of no kind of source that pushd can read"
            hint = f"sources are named {_FORMS}; pushctl takes {IN_ENGINE}IMAGE as well"
            raise _refused(text, detail, hint=hint)
        kind = Kind(prefix)
        path, _, reference = (rest, "", "") if kind is Kind.DIR else rest.partition(":")
        if not path:
            raise _refused(text, "has no path", hint=f"sources are named {_FORMS}")
        if not path.startswith("/"):
            hint = "give the absolute path: the daemon does not run in your directory"
            raise _refused(text, "is named by a relative path", hint=hint)
        if "\0" in path:
            raise _refused(text, "has a NUL character in its path")
        try:
            os.fsencode(path)
        except UnicodeEncodeError as error:
            raise _refused(text, "has characters in its path that no file name can have") from error
        return cls(kind, path, reference)

    @property
    def shown(self) -> str:
        """The path, fit for a terminal."""
        return printable(self.path, SHOWN)


def _refused(text: str, detail: str, hint: str = "") -> SourceError:
    return SourceError(Code.SOURCE_UNSUPPORTED, printable(text, SHOWN), detail, hint=hint)

"""From the name of a source to what reads it."""

from __future__ import annotations

from typing import TypeAlias

from pushd.source.archive import Archive
from pushd.source.dir import DirSource
from pushd.source.directory import Directory
from pushd.source.docker import DockerSource, SavedFiles
from pushd.source.layout import LayoutSource
from pushd.source.members import LayoutMembers, SavedMembers
from pushd.source.name import Kind, SourceName
from pushd.source.permission import Peer

ImageSource: TypeAlias = LayoutSource | DirSource | DockerSource
"""One image somewhere on disk."""

_NO_LAYOUT = "an image that skopeo copy wrote to dir:DIR is named so here too"
_NO_ARCHIVE = "what docker save and podman save write is named docker-archive:FILE[:REF]"


def open_source(name: str, *, uid: int, gids: frozenset[int]) -> ImageSource:
    """Open the source `name`. Blocks.

    It is `oci:DIR[:REF]`, `oci-archive:FILE[:REF]`, `docker-archive:FILE[:REF]` or `dir:DIR`. Nothing is opened, now or
    later, that the user `uid` in the groups `gids` could not reach and read themselves.

    Raises:
        SourceError: `source.unsupported`, `source.not_found`, `source.unreadable`, `source.forbidden`,
            `source.layout_invalid`, `source.archive_invalid`, `source.changed`.
    """
    parsed = SourceName.parse(name)
    path, subject, peer = parsed.path, parsed.shown, Peer(uid, gids)
    match parsed.kind:
        case Kind.LAYOUT:
            files = Directory.at(path, subject, peer)
            return LayoutSource(files, parsed.reference, subject, otherwise=_NO_LAYOUT)
        case Kind.ARCHIVE:
            archive = Archive(path, subject, peer, LayoutMembers())
            return LayoutSource(archive, parsed.reference, subject, otherwise=_NO_ARCHIVE)
        case Kind.DOCKER:
            members = SavedMembers(subject)
            archive = Archive(path, subject, peer, members)
            return DockerSource(SavedFiles(archive, members, subject), parsed.reference, subject)
        case Kind.DIR:
            return DirSource(Directory.at(path, subject, peer), subject)

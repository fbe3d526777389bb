"""From the name of a source to what reads it."""

from __future__ import annotations

from typing import TypeAlias

from pushd.source.archive import Archive
from pushd.source.dir import DirSource
from pushd.source.directory import Directory
from pushd.source.layout import LayoutSource
from pushd.source.members import LayoutMembers
from pushd.source.name import Kind, SourceName
from pushd.source.permission import Peer

ImageSource: TypeAlias = LayoutSource | DirSource
"""One image somewhere on disk."""


def open_source(name: str, *, uid: int, gids: frozenset[int]) -> ImageSource:
    """Open the source `name`, `oci:DIR[:REF]`, `oci-archive:FILE[:REF]` or `dir:DIR`. Blocks.

    Nothing is opened, now or later, that the user `uid` in the groups `gids` could not reach and read themselves.

    Raises:
        SourceError: `source.unsupported`, `source.not_found`, `source.unreadable`, `source.forbidden`,
            `source.layout_invalid`, `source.archive_invalid`, `source.changed`.
    """
    parsed = SourceName.parse(name)
    peer = Peer(uid, gids)
    if parsed.kind is Kind.ARCHIVE:
        files = Archive(parsed.path, parsed.shown, peer, LayoutMembers())
        return LayoutSource(files, parsed.reference, parsed.shown)
    directory = Directory.at(parsed.path, parsed.shown, peer)
    if parsed.kind is Kind.DIR:
        return DirSource(directory, parsed.shown)
    return LayoutSource(directory, parsed.reference, parsed.shown)

"""Text from outside, made fit to be shown: it must not command a terminal, nor fill it."""

from __future__ import annotations

_QUOTED_LIMIT = 80  # a line's width
_ELLIPSIS = "..."


def printable(text: str, limit: int) -> str:
    """Give `text` as one line of at most `limit` characters (4 or more), cut with an ellipsis.

    White space becomes single spaces; control, format (bidirectional overrides, zero widths) and unassigned
    characters and lone surrogates go, as `str.isprintable` tells them.
    """
    spaced = " ".join(text.split())
    return _cut("".join(character for character in spaced if character.isprintable()), limit)


def quoted(text: str) -> str:
    """Give `text` in quotes, with escapes for what cannot be seen, cut to about a line: to show what was typed."""
    return repr(_cut(text, _QUOTED_LIMIT))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - len(_ELLIPSIS)] + _ELLIPSIS

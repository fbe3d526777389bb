"""What a push would do, on a page. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushd.ctl.layout import columns, facts, sentence
from pushd.ctl.quantities import show_bytes
from pushd.ctl.reports import count
from pushd.ctl.texts import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INDENT = "  "
_SHORT = 12
_WORDS = (("present", "there already"), ("mount", "would be mounted"), ("send", "would be sent"))


def plan_page(plan: Mapping[str, Any], *, width: int | None) -> Iterator[str]:
    """Write the daemon's answer to a dry run."""
    yield from facts(
        ("source", clean(plan["source"])),
        ("image", f"{clean(plan['media_type'])}, {show_bytes(plan['size'])}"),
        ("", clean(plan["digest"] or "")),
        ("compress", _compressed(plan.get("compress"))),
        ("referrers", _referrers(plan.get("referrers"))),
        width=width,
    )
    for destination in plan["destinations"]:
        yield ""
        yield clean(destination["destination"])
        yield from _destination(destination, width)


def _compressed(amount: Mapping[str, Any] | None) -> str:
    """Tell what would be compressed; a daemon of before says nothing of it."""
    if not amount or not amount["count"]:
        return ""
    return (
        f"{_sum(amount, 'plain layer')} of {show_bytes(amount['bytes'])}, first; the rest is told of them as they are"
    )


def _referrers(number: int | None) -> str:
    """Tell what would go along; a daemon of before says nothing of it."""
    if number is None:
        return ""
    return f"{count(number, 'manifest')} along with it" if number else "none: nothing refers to it"


def refused(plan: Mapping[str, Any]) -> bool:
    """Whether a destination of this plan would fail."""
    return any(destination["action"] == "fail" for destination in plan["destinations"])


def _destination(destination: Mapping[str, Any], width: int | None) -> Iterator[str]:
    failure = destination.get("failure")
    if failure:
        yield f"{_INDENT}would fail"
        yield from sentence(f"{clean(failure['message'])} ({clean(failure['code'])})", width, first=f"{_INDENT}why:  ")
        return
    if destination["action"] == "nothing":
        yield f"{_INDENT}nothing to do: it holds this image already"
        return
    tag = destination.get("tag")
    yield f"{_INDENT}would be pushed; the tag {'is new' if tag is None else 'names another image now:'}"
    if tag is not None:
        yield f"{_INDENT}{clean(tag)}"
    sums = [
        (_sum(destination[name], "blob"), show_bytes(destination[name]["bytes"]), words)
        for name, words in _WORDS
        if destination[name]["count"]
    ]
    manifests = destination["manifests"]
    sums.append((_sum(manifests, "manifest"), show_bytes(manifests["bytes"]), "would be put"))
    yield from (f"{_INDENT}{line}" for line in columns(sums, right=(1,)))
    yield from (f"{_INDENT * 2}{line}" for line in columns([_blob(blob) for blob in destination["blobs"]], right=(2,)))


def _sum(counted: Mapping[str, Any], noun: str) -> str:
    return count(counted["count"], noun)


def _blob(blob: Mapping[str, Any]) -> tuple[str, ...]:
    digest = clean(blob["digest"])
    origin = blob.get("from")
    return (
        digest[: digest.find(":") + 1 + _SHORT],
        clean(blob["action"]),
        show_bytes(blob["size"]),
        f"from {clean(origin)}" if origin else "",
    )

"""What the daemon is doing, on a page. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pushd.ctl.layout import columns, facts, when
from pushd.ctl.quantities import show_age, show_bytes, show_clock, show_duration
from pushd.ctl.texts import clean, cut_left

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COUNTED = ("queued", "running", "held", "paused")
_RATE, _SENT = len("999.9 MB/s"), len("999.9 MB")
_NUMBERS = 2 * (len(COUNTED) + 2) + len("".join(COUNTED)) + _RATE + _SENT
"""Columns of a registry's numbers, as long as none of them counts in millions."""
_NARROWEST = 12
_REFUSED = {
    "spool": "bytes that would have to be brought to the spool are refused",
    "jobs": "new jobs are refused",
}


def status_page(status: Mapping[str, Any], *, width: int | None) -> Iterator[str]:
    """Write what the daemon says of itself and, to administrators, of its place on the machine."""
    now = datetime.fromisoformat(status["now"])
    process = f", process {status['pid']}" if "pid" in status else ""
    oldest = status.get("oldest")
    yield from facts(
        ("pushd", f"{clean(status['version'])}, up {show_duration(status['uptime'])}{process}"),
        ("you", f"uid {status['uid']}, {clean(status['role'])}; {paths(status)}"),
        ("socket", clean(status.get("socket", ""))),
        ("state", f"{clean(status['state_dir'])}, life number {status['epoch']}" if "state_dir" in status else ""),
        ("deliveries", counts(status["queue"])),
        ("oldest job", when(datetime.fromisoformat(oldest), now) if oldest else ""),
        ("uploads", counts(status["uploads"])),
        ("disk", disk(status["disk"]) if "disk" in status else ""),
        ("refused", refusing(status)),
        ("limits", ", ".join(f"{clean(key)} {clean(value)}" for key, value in status.get("limits", {}).items())),
        width=width,
    )
    heading, *registries = registry_lines(status, now, width=width)
    if registries:
        yield ""
        yield heading.text
        for registry in registries:
            yield registry.text
            if registry.restraint:
                yield f"  {registry.restraint}"


@dataclass(frozen=True, slots=True)
class RegistryLine:
    """One registry, or the headings over them.

    Attributes:
        text: its numbers in columns.
        restraint: why it is not served at full speed, or nothing.
    """

    text: str
    restraint: str = ""


def registry_lines(status: Mapping[str, Any], now: datetime, *, width: int | None) -> list[RegistryLine]:
    """Write the registries in columns under their headings, those with the most to do first."""
    registries: Mapping[str, Mapping[str, Any]] = status["registries"]
    ranked = sorted(registries.items(), key=lambda item: (-_open(item[1]), item[0]))
    room = None if width is None else max(_NARROWEST, width - _NUMBERS)
    rows = [
        ("REGISTRY", *(name.upper() for name in COUNTED), "RATE".rjust(_RATE), "SENT".rjust(_SENT)),
        *(_registry(name if room is None else cut_left(clean(name), room), registry) for name, registry in ranked),
    ]
    restraints = ["", *(_restraint(registry, now) for _, registry in ranked)]
    return [
        RegistryLine(text, restraint)
        for text, restraint in zip(columns(rows, right=range(1, len(rows[0]))), restraints, strict=True)
    ]


def _open(registry: Mapping[str, Any]) -> int:
    return sum(registry.get(name, 0) for name in COUNTED)


def counts(counted: Mapping[str, Any]) -> str:
    """Write numbers with what they count: `4 queued, 2 running`."""
    return ", ".join(f"{clean(number)} {clean(name)}" for name, number in counted.items())


def paths(status: Mapping[str, Any]) -> str:
    """Say how the daemon comes by the caller's bytes."""
    return "your files are read in place" if status.get("paths") else "your files are streamed to the daemon"


def disk(space: Mapping[str, Any]) -> str:
    """Say what is used of the disk and what is left."""
    budget = f" of {show_bytes(space['budget'])}" if space.get("budget") is not None else ""
    return (
        f"database {show_bytes(space['database'])}, spool {show_bytes(space['spool'])}{budget}; "
        f"{show_bytes(space['free'])} free, {show_bytes(space['reserve'])} of them kept in reserve"
    )


def refusing(status: Mapping[str, Any]) -> str:
    """Say what is refused because the disk is short, or nothing."""
    refused = status.get("disk", {}).get("refusing", ())
    return "; ".join(_REFUSED.get(what, clean(what)) for what in refused)


def _restraint(registry: Mapping[str, Any], now: datetime) -> str:
    words = []
    if since := registry.get("paused_since"):
        moment = datetime.fromisoformat(since)
        words.append(f"paused since {show_clock(moment)} ({show_age((now - moment).total_seconds())})")
    if registry.get("throttled_for") is not None:
        words.append(f"throttled for {show_duration(registry['throttled_for'])}")
    return ", ".join(words)


def _registry(name: str, registry: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (str(registry.get(column, 0)) for column in COUNTED)
    rate = registry.get("rate")
    return clean(name), *numbers, f"{show_bytes(rate)}/s" if rate else "", show_bytes(registry.get("sent", 0))

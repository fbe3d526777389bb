"""What `pushctl top` shows: a status as rows of a screen. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pushd.ctl.quantities import show_age, show_bytes, show_clock, show_duration
from pushd.ctl.reports import count
from pushd.ctl.status_page import counts, refusing, registry_lines
from pushd.ctl.texts import clean, cut_left

if TYPE_CHECKING:
    from collections.abc import Mapping

    Status = Mapping[str, Any]

_SHORT = 8  # hexadecimal digits of a digest
_LEAST = 3
"""Rows a table needs to be worth its heading: that, one thing, and how many more there are."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the screen.

    Attributes:
        style: how it is to look where there are colours, in rich's words.
    """

    text: str
    style: str = ""


def screen(status: Status, first: Status | None, *, width: int, height: int | None) -> list[Row]:
    """Lay a status out.

    The head always fits; registries come before transfers and get at least half of what is left, and what has no
    room is counted.

    Args:
        status: the daemon's.
        first: the one shown first, which tells whether the daemon has restarted since; None when there was none.
        width: columns there are.
        height: rows there are; None for as many as it takes.
    """
    rows = _head(status, first)
    room = None if height is None else max(0, height - len(rows))
    now = datetime.fromisoformat(status["now"])
    registries = _registries(status, now, width)
    transfers = _transfers(status, width)
    if room is not None:
        transfers = _cut(transfers, max(room // 2, room - _height(registries)), "transfer", "transfers")
        registries = _cut(registries, room - _height(transfers), "registry", "registries")
    rows += [row for group in (*registries, *transfers) for row in group]
    return [Row(row.text[:width], row.style) for row in rows]


def lost(since: datetime, *, width: int) -> Row:
    """Say under the last screen that the daemon does not answer any more."""
    return Row(f"no answer since {show_clock(since)}, asking again each second"[:width].ljust(width), "reverse")


def _head(status: Status, first: Status | None) -> list[Row]:
    now = datetime.fromisoformat(status["now"])
    oldest = status.get("oldest")
    waits = f", oldest job {show_age((now - datetime.fromisoformat(oldest)).total_seconds())}" if oldest else ""
    pace = sum(registry.get("rate") or 0 for registry in status["registries"].values())
    rows = [
        Row(f"pushd {clean(status['version'])}  {show_clock(now)}  up {show_duration(status['uptime'])}", "bold"),
        Row(f"deliveries  {counts(status['queue'])}{waits}"),
        Row(f"uploads     {counts(status['uploads'])}, {show_bytes(pace)}/s"),
    ]
    if first is not None and first["epoch"] != status["epoch"]:
        restarts = status["epoch"] - first["epoch"]
        rows.append(Row(f"the daemon has restarted meanwhile, {count(restarts, 'time')}", "yellow"))
    if refused := refusing(status):
        rows.append(Row(f"short of disk: {refused}", "bold red"))
    return rows


def _registries(status: Status, now: datetime, width: int) -> list[list[Row]]:
    """Give the rows of each registry, the headings with an empty row above them first; nothing when there is none."""
    heading, *lines = registry_lines(status, now, width=width)
    if not lines:
        return []
    groups = [[Row(""), Row(heading.text, "dim")]]
    for line in lines:
        groups.append([Row(line.text)])
        if line.restraint:
            groups[-1].append(Row(f"  {line.restraint}", "yellow"))
    return groups


def _transfers(status: Status, width: int) -> list[list[Row]]:
    """Likewise for transfers, the slowest first as the daemon gives them."""
    transfers = status["transfers"]
    if not transfers:
        return []
    figures = f"{'DONE':>5}{'OF':>10}{'RATE':>12}{'FOR':>8}"
    room = max(0, width - len(figures) - 2)
    groups = [[Row(""), Row(f"{'SLOWEST TRANSFERS':<{room}}  {figures}", "dim")]]
    for transfer in transfers:
        percent = transfer["done"] * 100 // transfer["size"] if transfer["size"] else 100
        pace = f"{show_bytes(transfer['rate'])}/s"
        lasts = show_duration(transfer["seconds"])
        name = f"{_short(transfer['digest'])}  {_name(transfer, room - _SHORT - 2)}"
        figures = f"{percent:>4}%{show_bytes(transfer['size']):>10}{pace:>12}{lasts:>8}"
        groups.append([Row(f"{name:<{room}}  {figures}", "" if transfer["rate"] else "yellow")])
    return groups


def _name(transfer: Mapping[str, Any], room: int) -> str:
    return cut_left(clean(transfer["destination"]), room)


def _short(digest: str) -> str:
    return clean(digest).partition(":")[2][:_SHORT]


def _height(groups: list[list[Row]]) -> int:
    return sum(map(len, groups))


def _cut(groups: list[list[Row]], room: int, one: str, many: str) -> list[list[Row]]:
    """Leave out from the end what has no room, and say how much it was; all of it when little would be left."""
    if _height(groups) <= room:
        return groups
    if room <= _LEAST:
        return []
    kept: list[list[Row]] = []
    for group in groups:
        if _height(kept) + len(group) > room - 1:
            break
        kept.append(group)
    left = len(groups) - len(kept)
    return [*kept, [Row(f"and {left} more {one if left == 1 else many}", "dim")]]

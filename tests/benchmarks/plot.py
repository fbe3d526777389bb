"""The figures as a picture: how much longer than pushd each peer took, a bar each, in SVG that needs nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.benchmarks.cases import CASES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.readings import Readings, Spread

PEERS = ("crane", "skopeo")
_WIDTH, _LABELS, _RIGHT = 900, 370, 60
_BAR, _GAP, _TOP, _BOTTOM = 13, 12, 78, 40
_LEAST = 0.25
"""Where the axis begins, or earlier. It is logarithmic: twice as fast and half as fast look alike."""
_TITLE = "Wall time of crane and skopeo as a multiple of pushd's"
_HOW_TO_READ = (
    "right of 1: pushd is faster; left of it: the peer is. Medians of pairs, thin lines from the least to the most"
)

_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 11px; fill: #59636e }
  .grid { stroke: #d1d9e0 }
  .one { stroke: #1f2328; stroke-width: 1.5 }
  .noise { stroke: #1f2328; stroke-opacity: .55 }
  .crane { fill: #2a7de1 }
  .skopeo { fill: #e07b27 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .small { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .one, .noise { stroke: #f0f6fc }
    .crane { fill: #539bf5 }
    .skopeo { fill: #f0a35e }
  }"""


@dataclass(frozen=True, slots=True)
class _Group:
    """One case to one place: the ratio of each peer that was there."""

    label: str
    ratios: dict[str, Spread]


class _Axis:
    """From ratios to places on the picture."""

    def __init__(self, least: float, most: float) -> None:
        self.least = 2.0 ** math.floor(math.log2(least))
        self.most = 2.0 ** math.ceil(math.log2(most))

    def x(self, ratio: float) -> float:
        """Give where it is, in pixels from the left."""
        part = math.log(ratio / self.least) / math.log(self.most / self.least)
        return _LABELS + part * (_WIDTH - _LABELS - _RIGHT)

    def ticks(self) -> Iterator[float]:
        """Give the powers of two."""
        tick = self.least
        while tick <= self.most:
            yield tick
            tick *= 2


def draw(readings: Readings) -> str:
    """Give the picture, whatever was measured; without anything it has no bars."""
    groups = list(_groups(readings))
    all_ratios = [edge for group in groups for it in group.ratios.values() for edge in (it.least, it.median, it.most)]
    axis = _Axis(min([_LEAST, *all_ratios]), max([4.0, *all_ratios]))
    height = _TOP + _BOTTOM + sum(len(group.ratios) * _BAR + _GAP for group in groups)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{_TITLE}">',
        f"<style>{_STYLE}\n</style>",
        f'<text class="title" x="16" y="24">{_TITLE}</text>',
        f'<text class="small" x="16" y="42">{_HOW_TO_READ}</text>',
        *_legend(),
        *_grid(axis, height),
        *_bars(groups, axis),
        f'<line class="one" x1="{axis.x(1):.1f}" x2="{axis.x(1):.1f}" y1="{_TOP - 8}" y2="{height - _BOTTOM + 6}"/>',
        "</svg>",
        "",
    ]
    return "\n".join(lines)


def _groups(readings: Readings) -> Iterator[_Group]:
    for case in CASES:
        for place in case.places:
            ratios = {peer: readings.wall_ratio(case.letter, place, peer, "pushd") for peer in PEERS}
            found = {peer: ratio for peer, ratio in ratios.items() if ratio is not None}
            if found:
                yield _Group(f"({case.letter}) {case.title}: {place}", found)


def _legend() -> Iterator[str]:
    for number, peer in enumerate(PEERS):
        x = 16 + 80 * number
        yield f'<rect class="{peer}" x="{x}" y="52" width="11" height="11" rx="2"/>'
        yield f'<text x="{x + 16}" y="62">{peer}</text>'


def _grid(axis: _Axis, height: int) -> Iterator[str]:
    for tick in axis.ticks():
        x = axis.x(tick)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{height - _BOTTOM + 6}"/>'
        yield f'<text class="small" text-anchor="middle" x="{x:.1f}" y="{height - _BOTTOM + 22}">{tick:g}</text>'


def _bars(groups: list[_Group], axis: _Axis) -> Iterator[str]:
    y = _TOP
    one = axis.x(1)
    for group in groups:
        middle = y + len(group.ratios) * _BAR / 2
        yield f'<text x="{_LABELS - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(group.label)}</text>'
        for peer, it in group.ratios.items():
            end = axis.x(it.median)
            yield (
                f'<rect class="{peer}" x="{min(one, end):.1f}" y="{y}" width="{abs(end - one):.1f}" '
                f'height="{_BAR - 2}" rx="1"/>'
            )
            centre = y + (_BAR - 2) / 2
            yield (
                f'<line class="noise" x1="{axis.x(it.least):.1f}" x2="{axis.x(it.most):.1f}" '
                f'y1="{centre:.1f}" y2="{centre:.1f}"/>'
            )
            right = it.median >= 1
            x, anchor = (axis.x(it.most) + 6, "start") if right else (axis.x(it.least) - 6, "end")
            yield f'<text class="small" x="{x:.1f}" y="{y + 10}" text-anchor="{anchor}">{it.median:.2g}</text>'
            y += _BAR
        y += _GAP

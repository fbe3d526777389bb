"""The torture by hand: `python -m tests.torture --seed 7 --kills 200 --images 20 --registry 3 --largest 512MiB`."""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.parts import DISTRIBUTION_2, DISTRIBUTION_3
from tests.torture.campaign import run
from tests.torture.ordeal import Blow, Ordeal

if TYPE_CHECKING:
    from tests.torture.campaign import Result

_SHOWN = 30
"""Problems that are printed."""
_TOOLS = {"2": DISTRIBUTION_2, "3": DISTRIBUTION_3}


def main() -> int:
    """Run it: 0 when everything held, 1 when something did not, 2 when it could not be run to its end."""
    parser = _parser()
    asked = parser.parse_args()
    again = f"{parser.prog} {' '.join(f'--{name} {value}' for name, value in vars(asked).items())}"
    _tell(f"this run: {again}")
    try:
        program = _TOOLS[asked.registry].find()
    except pytest.skip.Exception as error:
        parser.exit(2, f"{error}\n")
    keeps_bytes = asked.registry == "3"
    ordeal = Ordeal(
        seed=asked.seed,
        kills=asked.kills,
        images=asked.images,
        largest=asked.largest,
        rate=asked.rate,
        every=asked.every,
        spare=not keeps_bytes,
        uploads=4 if keeps_bytes else 2,
    )
    directory = Path(tempfile.mkdtemp(prefix="pushd-torture-"))
    try:
        result = run(ordeal, program, directory, tell=_tell, keeps_bytes=keeps_bytes, patience=asked.patience)
    except (pytest.fail.Exception, AssertionError) as error:
        _tell(f"could not be run to its end: {error}\nthe evidence is in {directory}\nthe same again: {again}")
        return 2
    _report(result)
    if result.problems:
        _tell(f"the evidence is in {directory}")
    else:
        shutil.rmtree(directory)
    _tell(f"the same again: {again}")
    return 1 if result.problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture",
        description="Kill the daemon again and again, break what it depends on, and see that nothing is lost.",
    )
    add = parser.add_argument
    add("--seed", type=int, default=random.randrange(1 << 32), help="draws the images and the blows")
    add("--kills", type=int, default=200, help="how many times the daemon is killed")
    add("--images", type=int, default=20, help="how many are pushed at the least")
    add("--registry", choices=_TOOLS, default="3", help="which major version of the distribution registry")
    add("--largest", type=_size, default=512 << 20, help="bytes of the largest layer; KiB, MiB, GiB are understood")
    add("--rate", type=_size, default=60 << 20, help="bytes a second to the registry")
    add("--every", type=float, default=1.5, help="seconds between blows, on average; to registry 2 at the least")
    add("--patience", type=float, default=900, help="seconds the jobs may take after the last kill")
    return parser


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)(?:([KMG])iB)?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is no size, as 512MiB is")
    return int(match[1]) << {None: 0, "K": 10, "M": 20, "G": 30}[match[2]]


def _report(result: Result) -> None:
    left = f"{len(result.left)} with {sum(it.size for it in result.left) / 1e6:.1f} MB"
    rows = {
        "jobs accepted": result.accepted,
        "deliveries": result.deliveries,
        "kills": result.blows[Blow.KILL],
        "connections cut, times": result.blows[Blow.CUT],
        "registry restarts": result.blows[Blow.RESTART],
        "blobs, MB that had to travel": f"{result.needed / 1e6:.1f}",
        "sent, MB at the proxy": f"{result.up / 1e6:.1f}",
        "sent / had to travel": f"{result.up / result.needed:.3f}",
        "uploads interrupted": result.interrupted,
        "uploads started over": result.restarted,
        "sessions left at the registry": left,
        "seconds": f"{result.seconds:.1f}",
        "problems": len(result.problems),
    }
    for name, value in rows.items():
        _tell(f"{name:30} {value:>24}")
    for problem in result.problems[:_SHOWN]:
        _tell(f"PROBLEM: {problem}")
    if len(result.problems) > _SHOWN:
        _tell(f"and {len(result.problems) - _SHOWN} more")


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a command for people)


if __name__ == "__main__":
    sys.exit(main())

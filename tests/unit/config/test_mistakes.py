from __future__ import annotations

from pathlib import Path

import pytest

from pushd.config.mistakes import ConfigError, Mistake, dotted, line_of
from pushd.errors import Code

TEXT = '''\
# limits.deliveries = 9
daemon.socket = "/s"

[limits]
deliveries = 3
"odd = key" = 1
[ registries . "a.example:5000" ]
  "ca" = "/x"
[timeouts]
connect = 1
note = """
connect = 2
"""
[[credentials.grants]]
registry = "a"
[[credentials.grants]]
registry = "b"
users = [
    "ada",
]
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("limits",), 4),
        (("limits", "deliveries"), 5),
        (("daemon", "socket"), 2),
        (("registries", "a.example:5000"), 7),
        (("registries", "a.example:5000", "ca"), 8),
        (("timeouts", "connect"), None),
        (("limits", "odd = key"), None),
        (("nowhere",), None),
        (("credentials", "grants", 0), 14),
        (("credentials", "grants", 0, "registry"), 15),
        (("credentials", "grants", 1), 16),
        (("credentials", "grants", 1, "users"), 18),
        (("credentials", "grants", 1, "users", 0), 18),
        (("credentials", "grants", 2), None),
        (("credentials", "grants"), None),
        ((0,), None),
        ((), None),
    ],
)
def test_a_line_is_told_when_it_is_sure(key: tuple[str | int, ...], line: int | None) -> None:
    assert line_of(key, TEXT) == line


def test_a_key_is_written_as_in_the_file() -> None:
    assert dotted(("registries", "a.example:5000", "ca")) == 'registries."a.example:5000".ca'


def test_a_place_in_an_array_is_its_number_from_0() -> None:
    assert dotted(("credentials", "grants", 0, "a.b", 12)) == 'credentials.grants[0]."a.b"[12]'


def test_one_mistake_is_one_line() -> None:
    error = ConfigError(Path("/etc/x.toml"), [Mistake(("limits", "deliveries"), "is wrong")], TEXT)

    assert error.code is Code.DAEMON_CONFIG
    assert str(error) == "/etc/x.toml: line 5: limits.deliveries: is wrong"


def test_several_mistakes_are_a_list_in_the_order_of_the_file() -> None:
    wrong = [Mistake(("limits", "deliveries"), "is wrong"), Mistake(("daemon", "socket"), "as well")]

    error = ConfigError(Path("/x"), wrong, TEXT)

    assert str(error) == "/x: 2 mistakes\n  line 2: daemon.socket: as well\n  line 5: limits.deliveries: is wrong"
    assert error.mistakes == (wrong[1], wrong[0])


def test_a_hostile_key_reaches_no_terminal_raw() -> None:
    error = ConfigError(Path("/x"), [Mistake(("\x1b[2J" + "k" * 500,), "is not known")])

    assert str(error).isprintable()
    assert len(str(error)) < 200

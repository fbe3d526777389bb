from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.config import ConfigError, Limits, Overrides, Registry, Timeouts, load
from pushd.errors import Code, DaemonError
from pushd.oci.upload import Form
from pushd.registry.profiles import NAMES
from pushd.telemetry.events import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushd.config import Config

ETC = Path("/etc/pushd/pushd.toml")
EVERYTHING = """
[daemon]
socket = "/srv/s"
state_dir = "/srv/state"
log_level = "debug"

[limits]
deliveries = 1
uploads_per_registry = 2
small_uploads_per_registry = 3
memory = "128MiB"
deadline = "2d"
attempts = 4

[timeouts]
connect = 5
stall = "30s"
commit = "1h"
request = 7.5

[credentials]
docker_config = "/etc/pushd/docker.json"

[registries."localhost:5000"]
profile = "ecr"
plain_http = true
upload = "streamed"
chunk_size = "4MiB"
max_uploads = 1
ca = "/etc/ca.pem"

[registries.localhost]
upload = "auto"
plain_http = false
"""


def files(contents: Mapping[Path, str]) -> Callable[[Path], str]:
    def read_text(path: Path) -> str:
        try:
            return contents[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", str(path)) from None

    return read_text


def loaded(text: str | None = None, overrides: Overrides | None = None, **environ: str) -> Config:
    """The configuration of root's daemon with `text` in the usual place."""
    contents = {} if text is None else {ETC: text}
    return load(overrides or Overrides(), environ, files(contents), uid=0)


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert caught.value.code is Code.DAEMON_CONFIG
    assert caught.value.subject == str(ETC)
    return [f"{'.'.join(mistake.key)}: {mistake.detail}" for mistake in caught.value.mistakes]


def test_without_a_file_everything_has_its_default() -> None:
    config = loaded(HOME="/root")

    assert (config.daemon.socket, config.daemon.state_dir) == (Path("/run/pushd/pushd.sock"), Path("/var/lib/pushd"))
    assert config.daemon.log_level is Level.INFO
    assert config.limits == Limits(
        deliveries=16,
        uploads_per_registry=8,
        small_uploads_per_registry=16,
        memory=67_108_864,
        deadline=86_400.0,
        attempts=5,
    )
    assert config.timeouts == Timeouts()
    assert config.credentials.docker_config == Path("/root/.docker/config.json")
    assert (dict(config.registries), config.file) == ({}, None)


def test_an_empty_file_changes_nothing_but_that_it_was_read() -> None:
    assert loaded("").file == ETC
    assert loaded("").limits == Limits()


def test_every_key_is_read() -> None:
    config = loaded(EVERYTHING)

    assert (config.daemon.socket, config.daemon.state_dir) == (Path("/srv/s"), Path("/srv/state"))
    assert config.daemon.log_level is Level.DEBUG
    assert config.limits == Limits(
        deliveries=1,
        uploads_per_registry=2,
        small_uploads_per_registry=3,
        memory=128 << 20,
        deadline=172_800.0,
        attempts=4,
    )
    assert config.timeouts == Timeouts(connect=5.0, stall=30.0, commit=3600.0, request=7.5)
    assert config.credentials.docker_config == Path("/etc/pushd/docker.json")
    assert dict(config.registries) == {
        "localhost:5000": Registry(
            profile="ecr",
            plain_http=True,
            upload=Form.STREAMED,
            chunk_size=4 << 20,
            max_uploads=1,
            ca=Path("/etc/ca.pem"),
        ),
        "localhost": Registry(plain_http=False),
    }


def test_what_is_configured_does_not_change() -> None:
    config = loaded(EVERYTHING)

    with pytest.raises(FrozenInstanceError):
        config.limits.deliveries = 2  # type: ignore[misc] # that is the point
    with pytest.raises(TypeError):
        config.registries["x"] = Registry()  # type: ignore[index] # the same


@pytest.mark.parametrize(
    ("overrides", "environ", "text", "socket", "state_dir"),
    [
        (
            Overrides(socket=Path("/cli"), state_dir=Path("here")),
            {"PUSHD_SOCKET": "/env", "PUSHD_STATE_DIR": "/env.d"},
            EVERYTHING,
            "/cli",
            "here",
        ),
        (Overrides(), {"PUSHD_SOCKET": "/env", "PUSHD_STATE_DIR": "/env.d"}, EVERYTHING, "/env", "/env.d"),
        (Overrides(), {"PUSHD_SOCKET": "", "PUSHD_STATE_DIR": ""}, EVERYTHING, "/srv/s", "/srv/state"),
        (Overrides(), {}, "", "/run/pushd/pushd.sock", "/var/lib/pushd"),
    ],
)
def test_the_command_line_goes_before_the_environment_before_the_file_before_the_default(
    *, overrides: Overrides, environ: dict[str, str], text: str, socket: str, state_dir: str
) -> None:
    config = loaded(text, overrides, **environ)

    assert (config.daemon.socket, config.daemon.state_dir) == (Path(socket), Path(state_dir))


def test_the_file_itself_is_named_by_command_line_environment_or_place() -> None:
    contents = {Path("/a"): "limits.attempts = 1", Path("/b"): "limits.attempts = 2", ETC: "limits.attempts = 3"}
    environ = {"PUSHD_CONFIG": "/b"}
    read = files(contents)

    assert load(Overrides(config=Path("/a")), environ, read, uid=0).limits.attempts == 1
    assert load(Overrides(), environ, read, uid=0).limits.attempts == 2
    assert load(Overrides(), {}, read, uid=0).limits.attempts == 3


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[limit]", "limit: is not known; did you mean limits?"),
        ("x = 1", "x: is not known; known are daemon, limits, timeouts, credentials, registries"),
        ("limits = 3", "limits: must be a table: [limits]"),
        ("[[limits]]", "limits: must be a table: [limits]"),
        ("registries = 3", 'registries: must be tables: [registries."host:port"]'),
        ("[limits]\ndeliverys = 3", "limits.deliverys: is not known; did you mean deliveries?"),
        ("[daemon]\nzzz = 3", "daemon.zzz: is not known; known are socket, state_dir, log_level"),
        ("[limits]\ndeliveries = 0", "limits.deliveries: must be from 1 to 1000 at a time; it is 0"),
        ("[limits]\ndeliveries = true", "limits.deliveries: must be a whole number; it is true"),
        ("[limits]\ndeliveries = 1.5", "limits.deliveries: must be a whole number; it is 1.5"),
        ("[limits]\ndeliveries = [1]", "limits.deliveries: must be a whole number; it is an array"),
        ("[limits.deliveries]", "limits.deliveries: must be a whole number; it is a table"),
        ("[limits]\nmemory = 1", "limits.memory: must be from 1048576 to 1099511627776 bytes; it is 1"),
        ("[limits]\nmemory = 'much'", "limits.memory: must be a size like 1048576 or \"4MiB\"; it is 'much'"),
        ("[limits]\ndeadline = '0s'", "limits.deadline: must be from 1 to 31622400 seconds; it is '0s'"),
        (
            "[timeouts]\nstall = 2026-01-01",
            'timeouts.stall: must be a duration like 90 (seconds), "90s", "15m", "2h" or "1d"; it is a date or time',
        ),
        (
            f"[limits]\nattempts = 0x{'f' * 9000}",
            "limits.attempts: must be from 1 to 1000 times; it is a very large number",
        ),
        (
            "[daemon]\nlog_level = 'loud'",
            "daemon.log_level: must be one of debug, info, warning, error; it is 'loud'",
        ),
        (
            "[daemon]\nsocket = 'pushd.sock'",
            "daemon.socket: must be an absolute path, beginning with /; it is 'pushd.sock'",
        ),
        ('[registries."x:1"]\nplain_http = 1', "registries.x:1.plain_http: must be true or false; it is 1"),
        (
            '[registries."x:1"]\nupload = "Chunked"',
            "registries.x:1.upload: must be one of auto, chunked, streamed, monolithic; it is 'Chunked'",
        ),
        (
            '[registries."x:1"]\nprofile = "ERC"',
            f"registries.x:1.profile: must be one of {', '.join(NAMES)}; it is 'ERC'",
        ),
        (
            '[registries."x:1"]\nprofile = ["ecr"]',
            f"registries.x:1.profile: must be one of {', '.join(NAMES)}; it is an array",
        ),
        (
            '[registries."x:1"]\nupload = []',
            "registries.x:1.upload: must be one of auto, chunked, streamed, monolithic; it is an array",
        ),
        (
            '[registries."https://x"]\nplain_http = true',
            "registries.https://x: must be named host or host:port, as in a reference",
        ),
        ("[registries.a.example]\nca = '/x'", 'registries.a.example: must be quoted: [registries."a.example"]'),
        ("[registries]\nx = 1", "registries.x: must be a table: [registries.x]"),
    ],
)
def test_a_mistake_names_its_key_and_what_would_be_right(text: str, mistake: str) -> None:
    assert mistakes(text) == [mistake]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file_with_their_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        loaded('[timeouts]\nconnect = "soon"\n\n[limits]\nattempts = 0\nmemry = 1\n[credential]\n')

    assert str(caught.value).splitlines() == [
        "/etc/pushd/pushd.toml: 4 mistakes",
        '  line 2: timeouts.connect: must be a duration like 90 (seconds), "90s", "15m", "2h" or "1d"; it is \'soon\'',
        "  line 5: limits.attempts: must be from 1 to 1000 times; it is 0",
        "  line 6: limits.memry: is not known; did you mean memory?",
        "  line 7: credential: is not known; did you mean credentials?",
    ]


@pytest.mark.parametrize(
    "text", ["limits", "[limits\n", "a = 1\na = 2", "x = " + "[" * 10_000, "x = " + "9" * 10_000, "x = '\x1b[2J'"]
)
def test_what_is_not_toml_is_refused(text: str) -> None:
    (mistake,) = mistakes(text)

    assert mistake.startswith(": is not TOML: ")
    assert mistake.isprintable()


@given(st.text())
def test_no_text_at_all_is_anything_but_a_configuration_or_a_mistake(text: str) -> None:
    try:
        config = loaded(text)
    except ConfigError as error:
        refused = error
        assert refused.mistakes
    else:
        assert config.file == ETC


def test_a_syntax_error_tells_its_line() -> None:
    assert "line 2" in mistakes("[limits]\ndeliveries = = 3\n")[0]


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (FileNotFoundError(2, "No such file or directory"), "is not there"),
        (PermissionError(13, "Permission denied"), "cannot be read: Permission denied"),
        (IsADirectoryError(21, "Is a directory"), "cannot be read: Is a directory"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "is not UTF-8, as TOML must be"),
    ],
)
def test_a_file_that_was_named_must_be_readable(error: Exception, detail: str) -> None:
    def read_text(path: Path) -> str:
        raise error

    with pytest.raises(DaemonError) as caught:
        load(Overrides(config=Path("/x.toml")), {}, read_text, uid=0)

    assert (caught.value.code, caught.value.subject, caught.value.detail) == (Code.DAEMON_CONFIG, "/x.toml", detail)


def test_a_file_in_the_usual_place_that_cannot_be_read_is_not_overlooked() -> None:
    def read_text(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(DaemonError, match=r"/etc/pushd/pushd\.toml: cannot be read: Permission denied"):
        load(Overrides(), {}, read_text, uid=0)


def test_a_place_nobody_tells_is_asked_for() -> None:
    with pytest.raises(DaemonError, match=r"daemon\.socket: is not set.*give --socket PATH, or set PUSHD_SOCKET"):
        load(Overrides(), {"HOME": "/home/ada"}, files({}), uid=1000)
    with pytest.raises(DaemonError, match=r"daemon\.state_dir: is not set.*give --state-dir PATH"):
        load(Overrides(socket=Path("/s")), {}, files({}), uid=1000)

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.credentials.credential import Credential
from pushd.errors import Code, DaemonError
from pushd.vault.key import Key
from pushd.vault.seal import Seal, UnopenableError

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = Key(b"k" * 32, "/key")
PASSWORD = "canary-password"
ALICE = Credential("caller", "alice", PASSWORD, where="/home/alice/.docker/config.json")
SCOPE = "registry.test/team"


@pytest.fixture
def seal() -> Seal:
    return Seal(lambda: KEY)


def opened(seal: Seal, secret: bytes, *, uid: int = 1000, scope: str = SCOPE) -> Credential:
    return seal.open(secret, uid=uid, scope=scope, source="caller")


@pytest.mark.parametrize(
    "credential",
    [
        ALICE,
        Credential("caller", "alice", ""),
        Credential("caller", "alice", identity_token="canary-identity"),
        Credential("caller", registry_token="canary-token"),
        Credential("caller", "äöü", "päss\n\x00 \U0001f600"),
    ],
    ids=["password", "no password", "identity token", "registry token", "any characters"],
)
def test_what_was_sealed_is_opened_as_it_was(seal: Seal, credential: Credential) -> None:
    assert opened(seal, seal.close(credential, uid=1000, scope=SCOPE)) == credential


@given(username=st.text(), password=st.text(), uid=st.integers(0, 2**32 - 1), scope=st.text())
def test_whatever_is_sealed_is_opened_as_it_was(username: str, password: str, uid: int, scope: str) -> None:
    seal = Seal(lambda: KEY)
    credential = Credential("login", username, password)
    secret = seal.close(credential, uid=uid, scope=scope)
    assert seal.open(secret, uid=uid, scope=scope, source="login") == credential


def test_it_is_told_where_it_is_found_now_and_not_where_it_came_from(seal: Seal) -> None:
    credential = seal.open(seal.close(ALICE, uid=1, scope="a"), uid=1, scope="a", source="login")
    assert (credential.source, credential.where, credential.name) == ("login", "", "user:alice")


def test_the_same_sealed_twice_looks_different(seal: Seal) -> None:
    first, second = (seal.close(ALICE, uid=1000, scope=SCOPE) for _ in range(2))
    assert first != second
    assert first[:1] == second[:1] == b"\x01"
    assert first[1:13] != second[1:13]


def test_nothing_of_a_credential_shows_in_what_is_sealed(seal: Seal) -> None:
    secret = seal.close(ALICE, uid=1000, scope=SCOPE)
    for word in (PASSWORD.encode(), b"alice", b"docker", b"password"):
        assert word not in secret


# ------------------------------------------------------------------------------------------------- what is not opened

SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "another version": lambda secret: b"\x02" + secret[1:],
    "the version alone": lambda secret: secret[:1],
    "a nonce cut short": lambda secret: secret[:6],
    "no text": lambda secret: secret[:13],
    "no tag": lambda secret: secret[:-16],
    "another nonce": lambda secret: secret[:1] + bytes(12) + secret[13:],
    "a bit turned in the text": lambda secret: secret[:20] + bytes([secret[20] ^ 1]) + secret[21:],
    "a bit turned in the tag": lambda secret: secret[:-1] + bytes([secret[-1] ^ 128]),
    "a byte too many": lambda secret: secret + b"\x00",
    "something else": lambda _: b"\x01" + b"x" * 60,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_what_was_tampered_with_is_not_opened(seal: Seal, spoil: Callable[[bytes], bytes]) -> None:
    secret = spoil(seal.close(ALICE, uid=1000, scope=SCOPE))
    with pytest.raises(UnopenableError) as refused:
        opened(seal, secret)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    ("uid", "scope"),
    [(0, SCOPE), (1001, SCOPE), (1000, "registry.test"), (1000, "other.test/team"), (100, f"0{SCOPE}")],
)
def test_what_was_sealed_for_another_uid_or_scope_is_not_opened(seal: Seal, uid: int, scope: str) -> None:
    with pytest.raises(UnopenableError):
        opened(seal, seal.close(ALICE, uid=1000, scope=SCOPE), uid=uid, scope=scope)


def test_what_was_sealed_with_another_key_is_not_opened(seal: Seal) -> None:
    other = Seal(lambda: Key(b"K" * 32, "/other"))
    with pytest.raises(UnopenableError):
        opened(seal, other.close(ALICE, uid=1000, scope=SCOPE))


# ----------------------------------------------------------------------------------------------------------- the key


def test_the_key_is_loaded_once_and_not_before_it_is_needed() -> None:
    loads: list[Key] = []

    def load() -> Key:
        loads.append(KEY)
        return KEY

    seal = Seal(load)
    assert (seal.ready, loads) == (False, [])
    seal.prepare()
    seal.prepare()
    opened(seal, seal.close(ALICE, uid=1000, scope=SCOPE))
    assert (seal.ready, loads) == (True, [KEY])


def test_a_key_that_could_not_be_loaded_is_asked_for_again() -> None:
    error = DaemonError(Code.DAEMON_CONFIG, "/key", "cannot be used")
    answers: list[Key | DaemonError] = [error, KEY]

    def load() -> Key:
        answer = answers.pop(0)
        if isinstance(answer, DaemonError):
            raise answer
        return answer

    seal = Seal(load)
    with pytest.raises(DaemonError):
        seal.prepare()
    assert not seal.ready
    assert opened(seal, seal.close(ALICE, uid=1000, scope=SCOPE)) == ALICE


UNUSED = """
import sys
from pathlib import Path
from pushd.vault import Keyring, Seal, load_key
Keyring(None, Seal(lambda: load_key(Path("/nowhere"), None)), None)
print("cryptography" in sys.modules)
"""


def test_a_daemon_that_nobody_hands_a_credential_to_loads_no_cryptography() -> None:
    done = subprocess.run([sys.executable, "-c", UNUSED], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False"]


def test_no_secret_is_in_a_repr(seal: Seal) -> None:
    secret = seal.close(ALICE, uid=1000, scope=SCOPE)
    assert "kkk" not in repr(seal)
    assert "canary" not in repr(seal) + repr(opened(seal, secret))

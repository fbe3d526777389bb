"""Secrets at rest: sealed with a key that the database does not hold."""

from pushd.vault.key import load_key
from pushd.vault.keyring import Found, Keyring
from pushd.vault.seal import Seal

__all__ = ["Found", "Keyring", "Seal", "load_key"]

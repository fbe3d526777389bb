"""What can be wrong with a file of credentials: said with its path and the next step, and nothing of its content."""

from __future__ import annotations

import os

from pushd.errors import Code, RegistryError

_MEND = "mend it, or log in again"


def unreadable(path: str, error: OSError) -> RegistryError:
    """Tell why a file could not be read: `registry.credentials_unreadable`."""
    why = error.strerror or type(error).__name__
    hint = f"let uid {os.geteuid()} read it and pass the directories above"
    return RegistryError(Code.REGISTRY_CREDENTIALS_UNREADABLE, path, f"cannot be read: {why}", hint=hint)


def malformed(path: str, detail: str, *, hint: str = _MEND) -> RegistryError:
    """Tell that a file is not what it should be: `registry.credentials_malformed`."""
    return RegistryError(Code.REGISTRY_CREDENTIALS_MALFORMED, path, detail, hint=hint)


def unusable(path: str, detail: str, *, hint: str) -> RegistryError:
    """Tell that a file says there is a credential, and does not give it: `registry.credentials`."""
    return RegistryError(Code.REGISTRY_CREDENTIALS, path, detail, hint=hint)

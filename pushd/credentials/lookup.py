"""The finding of a credential: place after place, and the helper where a file leaves it to one. Blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.credentials.docker import Ask
from pushd.credentials.files import Files
from pushd.credentials.helper import ask as ask_helper
from pushd.credentials.helper import program
from pushd.credentials.places import CALLER, callers_places
from pushd.errors import Code, RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pushd.credentials.answer import Answer
    from pushd.credentials.credential import Credential


class CallersCredentials:
    """A caller's own credentials, for as long as one command runs: files and helpers are asked once each.

    Args:
        environ: tells the places, and where helpers are; they are run as whoever runs this, with it.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._files = Files()
        self._answers: dict[tuple[str, str], Answer | None] = {}

    def find(self, registry: str, repository: str) -> tuple[Credential, datetime | None] | None:
        """Find the credential for a repository, and when it expires where that is known.

        The first place that has one for the registry wins.

        Args:
            registry: `host[:port]`, as in references.
            repository: the name within the registry; empty for none in particular.

        Raises:
            RegistryError: a file that is there, or a helper that it names, cannot be used; its code and subject say
                which and how.
        """
        for place in callers_places(self._environ):
            found = place.look_up(registry, repository, self._files.read)
            if isinstance(found, Ask):
                answer = self._answered(found)
                if answer is not None:
                    return answer.credential(CALLER, kept_by(found)), answer.expires_at
            elif found is not None:
                return found, None
        return None

    def _answered(self, wanted: Ask) -> Answer | None:
        key = wanted.helper, wanted.server
        if key not in self._answers:
            try:
                self._answers[key] = ask_helper(wanted.helper, wanted.server, environ=self._environ)
            except RegistryError as error:
                if not is_elsewhere(wanted, error):
                    raise
                return None
        return self._answers[key]


def is_elsewhere(wanted: Ask, error: RegistryError) -> bool:
    """Whether a helper that failed is one that is not here and need not be: then there is no credential.

    People copy their configuration from a desktop, with its store: of a registry the file does not name, that says
    nothing.
    """
    return not wanted.named and error.code is Code.REGISTRY_HELPER_MISSING


def kept_by(wanted: Ask) -> str:
    """Say where a credential was that a helper gave."""
    return f"{wanted.file} by {program(wanted.helper)}"

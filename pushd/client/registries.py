"""What is done with a whole registry, and how it is spoken to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pushd.client import targets
from pushd.client.conversation import TRY_WITHIN, Speaker
from pushd.client.documents import JSON
from pushd.client.exchange import Request
from pushd.client.handing import handed_over
from pushd.client.own import own_credential
from pushd.job import AUTO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pushd.work import Handed


class Registries(Speaker):
    """The part of `Client` that is about registries."""

    def pause_registry(self, name: str) -> Mapping[str, Any]:
        """Have nothing more sent to a registry, `host[:port]`; give it as `registry`, and `paused_since`.

        Raises:
            RequestError: `request.forbidden`, the caller is no administrator.
        """
        return self._registry(name, "pause")

    def resume_registry(self, name: str) -> Mapping[str, Any]:
        """Have a paused registry served again; likewise."""
        return self._registry(name, "resume")

    def cancel_registry(self, name: str) -> Mapping[str, Any]:
        """Cancel everything that goes to a registry and has not ended, of everybody's jobs.

        Returns:
            `registry`, how many deliveries were `cancelled`, and how many that run are `stopping`.

        Raises:
            RequestError: `request.forbidden`, the caller is no administrator.
        """
        return self._registry(name, "cancel")

    def diagnose(
        self, target: str, *, credential: str = AUTO, handed: Sequence[Handed] | None = None
    ) -> Mapping[str, Any]:
        """Have the daemon try how a registry is spoken to, and with what result.

        Args:
            target: `host[:port]`, or `host[:port]/repository`: then the right to push there is tried as well, with an
                upload that is taken back.
            credential: as `submit` has it.
            handed: the caller's own where they were looked up before; None to do that now.

        Returns:
            `target`, and `checks` in the order they were made: `check`, `ok` (None: it could not be told), `detail`,
            and a `hint` where something is to be done.

        Raises:
            RequestError: `request.invalid_reference`, `request.forbidden`.
            RegistryError: as `submit` does.
        """
        name, _, repository = target.partition("/")
        document: dict[str, Any] = {"repository": repository} if repository else {}
        if credential != AUTO:
            document["credential"] = credential
        elif handed is None:
            own = own_credential(target)
            handed = [] if own is None else [own]
        return self._registry(name, "diagnose", document | handed_over(handed or ()))

    def _registry(self, name: str, verb: str, document: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        body = b"" if document is None else json.dumps(document).encode()
        request = Request(
            method="POST",
            target=targets.path("registries", name, verb),
            headers=JSON if body else {},
            body=body,
            answer_within=TRY_WITHIN,
            secret="credentials" in (document or {}),
        )
        return self._conversation.ask(request, dict)

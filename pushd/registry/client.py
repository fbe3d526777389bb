"""The client of one registry: the distribution protocol's requests over the wire."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pushd.errors import Code, RegistryError, RequestError
from pushd.oci import media_types
from pushd.oci.digest import Digest
from pushd.oci.reply import Stored, refusal
from pushd.oci.scope import to_push
from pushd.registry.calls import Call, call_for
from pushd.registry.diagnosis import diagnose
from pushd.registry.pulling import Pulling
from pushd.registry.speaking import REDIRECTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.oci.reply import Reply
    from pushd.oci.upload import Request
    from pushd.registry.bodies import Body
    from pushd.registry.wire import Answer
    from pushd.work import Check


class RegistryClient(Pulling):
    """One registry, spoken to with one credential: asked, pushed to, and, as `Pulling`, read from."""

    async def diagnose(self, repository: str | None) -> Sequence[Check]:
        """Try how it is spoken to; with a repository, whether one may push there, and in which forms of upload."""
        return await diagnose(self, way=self._way, repository=repository)

    async def ping(self) -> Answer:
        """Ask whether the API is there (spec end-1), as nobody; give the answer, whatever its status.

        Raises:
            RegistryError: no answer came.
        """
        return await self._exchange("", Call("GET", f"{self._base}/v2/", {}, ()), None, None)

    async def verify(self) -> bool | None:
        """Ask whether the registry takes the credential; None when it lets everybody in, and says nothing of it.

        Raises:
            RegistryError: no answer came, or one that tells nothing.
        """
        call = Call("GET", f"{self._base}/v2/", {}, ())
        self._authorizer.forget(())  # a token that is still good says nothing of what it was got with
        answer = await self._exchange("", call, None, None)
        if answer.status == 200:  # noqa: PLR2004 (spec end-1)
            return None
        if answer.status == 401:  # noqa: PLR2004 (unauthorised)
            try:
                answer = await self._send("", call)
            except RegistryError as error:
                if error.code is not Code.REGISTRY_UNAUTHORIZED:
                    raise
                return False
        if answer.status not in (200, 401):
            raise refusal(self._reply(answer), self._name, "whether it takes the credential")
        return answer.status == 200  # noqa: PLR2004 (spec end-1)

    # ----------------------------------------------------------------------------------------------- manifests

    async def head_manifest(self, repository: str, reference: str) -> Digest | None:
        """Ask which digest `reference`, a tag or digest, has (spec end-3); None when it is not there.

        Raises:
            RegistryError: any other answer, or none.
        """
        url = self._manifest_url(repository, reference)
        headers, scopes = {"Accept": ", ".join(sorted(media_types.MANIFESTS))}, to_push(repository)
        answer = await self._send(repository, Call("HEAD", url, headers, scopes))
        unsaid = answer.status == 200 and "Docker-Content-Digest" not in answer.headers  # noqa: PLR2004
        mute = answer.status == 403 and answer.status not in self._settings.limits.absent  # noqa: PLR2004 (forbidden)
        if unsaid or mute:
            # The header is not required of a registry, and a HEAD says nothing of why: the content tells.
            answer = await self._send(repository, Call("GET", url, headers, scopes))
        if answer.status in self._settings.limits.absent:  # spec: 404
            return None
        if answer.status != 200:  # noqa: PLR2004
            raise refusal(self._reply(answer), self._subject(repository, reference), "which digest it has")
        return self._digest(answer, self._subject(repository, reference))

    async def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> Stored:
        """Put exactly these bytes (spec end-7); give what the registry says of them.

        Raises:
            RegistryError: any other answer than 201, or none.
        """
        call = Call(
            "PUT",
            self._manifest_url(repository, reference),
            {"Content-Type": media_type},
            to_push(repository),
            commits=True,
        )
        answer = await self._send(repository, call, content)
        if answer.status != 201:  # noqa: PLR2004 (spec: the only success)
            raise refusal(self._reply(answer), self._subject(repository, reference), "to take the manifest")
        listed = "OCI-Subject" in answer.headers
        if "Docker-Content-Digest" not in answer.headers:
            return Stored(Digest.of(content), listed)
        return Stored(self._digest(answer, self._subject(repository, reference)), listed)

    def _digest(self, answer: Answer, subject: str) -> Digest:
        named = answer.headers.get("Docker-Content-Digest")
        if named is not None:
            try:
                return Digest.parse(named)
            except RequestError as error:
                raise RegistryError(Code.REGISTRY_MALFORMED, subject, f"its digest header {error}") from error
        if answer.headers.get("Content-Type", "").partition(";")[0].strip() not in media_types.MANIFESTS:
            raise refusal(self._reply(answer), subject, "which digest it has")
        return Digest.of(answer.content)

    # ------------------------------------------------------------------------------------------------- uploads

    async def perform(self, repository: str, request: Request, body: Body | bytes | None = None) -> Reply:
        """Send one request of an upload session and give the reply, whatever its status.

        Raises:
            RegistryError: no reply came, or a token could not be had.
        """
        answer = await self._send(repository, call_for(self._base, repository, request), body)
        reply = self._reply(answer)
        if reply.status in REDIRECTS and reply.location is not None and self._sent_back(answer, reply.location):
            return replace(reply, location=None)
        return reply

"""Speaking to one registry with one credential: authorised as it asks for, and followed to where it leads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pushd.credentials.credential import ANONYMOUS
from pushd.registry.auth import Authorizer
from pushd.registry.replies import has_expired, to_reply
from pushd.registry.way import Way

if TYPE_CHECKING:
    from pushd.credentials.credential import Credential
    from pushd.oci.reply import Reply
    from pushd.oci.upload import Limits
    from pushd.registry.auth import Renew
    from pushd.registry.bodies import Body
    from pushd.registry.calls import Call
    from pushd.registry.settings import Settings
    from pushd.registry.wire import Answer, Wire

_REDIRECTS_MAX = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""What a request that changes nothing follows."""
_SAME_AGAIN = frozenset({307, 308})
"""What any request follows that can be sent again: its method and body stay (RFC 9110, 15.4.8, 15.4.9)."""
_REFUSALS_MAX = 2
"""Times a request is sent again with another header: once what is wanted is known, and once what was sent had ended."""


class Speaking:
    """The part of `RegistryClient` that sends any request, and knows who it is.

    Args:
        name: `host[:port]`, as in references.
        settings: how it is spoken to.
        credential: ours for it, or None to go unnamed.
        wire: the HTTP below.
        borrowed: whether the credential is a submitter's, and not the daemon's.
        renew: looks the credential up anew when the registry has refused it; None when there is nowhere to look.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        credential: Credential | None,
        wire: Wire,
        *,
        borrowed: bool = False,
        renew: Renew | None = None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._limits = settings.limits
        self._way = Way(name, settings, wire)
        self._base = self._way.base
        self._credential = credential
        self._borrowed = borrowed
        self._authorizer = Authorizer(self._way, credential, renew)

    @property
    def name(self) -> str:
        """`host[:port]`, as in references."""
        return self._name

    @property
    def credential(self) -> str:
        """The credential's name, no secret."""
        return ANONYMOUS if self._credential is None else self._credential.name

    @property
    def provenance(self) -> str:
        """Whose credential it is and where it was found, for people; no secret."""
        return "none: it is spoken to as nobody" if self._credential is None else self._credential.told

    @property
    def borrowed(self) -> bool:
        """Whether the credential is a submitter's own."""
        return self._borrowed

    @property
    def refused(self) -> bool:
        """Whether the last word of the registry, or of its token service, on the credential was no."""
        return self._authorizer.refused

    @property
    def accepted(self) -> bool:
        """Whether the registry, or its token service, ever took the credential in this life of the daemon."""
        return self._authorizer.accepted

    @property
    def limits(self) -> Limits:
        """How uploads to it are done, as far as is known by now."""
        return self._limits

    async def _send(self, repository: str, call: Call, body: Body | bytes | None = None) -> Answer:
        """Send, authorised as the registry asks for; a 401 to what is sent once is the caller's to recover."""
        authorization = await self._authorizer.header(call.scopes)
        answer = await self._exchange(repository, call, body, authorization)
        for _ in range(_REFUSALS_MAX):
            # Only the registry's own word: a host it redirected us to must not name where our password goes.
            if answer.status != 401 or not self._way.ours(answer.url):  # noqa: PLR2004 (unauthorised)
                break
            renewed = await self._authorizer.learn(answer, call.scopes, authorization)
            if not renewed or call.once:
                break
            authorization = await self._authorizer.header(call.scopes)
            answer = await self._exchange(repository, call, body, authorization)
        if authorization is not None and self._way.ours(answer.url):
            self._authorizer.heard(call.scopes, pleased=answer.status != 401)  # noqa: PLR2004 (unauthorised)
        return answer

    def _reply(self, answer: Answer) -> Reply:
        known = self._authorizer.credential is not None
        return to_reply(answer, known=known, secrets=self._authorizer.secrets)

    async def _exchange(
        self, repository: str, call: Call, body: Body | bytes | None, authorization: str | None
    ) -> Answer:
        url = call.url
        for _ in range(_REDIRECTS_MAX + 1):
            headers = dict(call.headers)
            if authorization is not None and self._way.authorised(url):
                # Never to another host: a Location or redirect may lead to a storage that is nobody's business.
                headers["Authorization"] = authorization
            answer = await self._way.exchange(
                call.method,
                url,
                headers=headers,
                subject=f"{self._name}/{repository}",
                body=body,
                once=call.once,
                commits=call.commits,
                opens=call.opens,
            )
            if has_expired(answer):
                answer = replace(answer, status=401)
            self._recognise(answer)
            if not _followed(answer.status, call.method, body):
                break
            followed = to_reply(answer).location
            if followed is None or self._sent_back(answer, followed):
                break
            url = followed
        return answer

    def _recognise(self, answer: Answer) -> None:
        """Learn from an answer of the registry's own what it is, where nobody has said that yet."""
        if self._limits.joins is None and self._way.ours(answer.url) and _is_distribution_3(answer):
            self._limits = replace(self._limits, joins=True)

    def _sent_back(self, answer: Answer, location: str) -> bool:
        """Whether a stranger, to whom the registry led us, sends us where our authorisation goes.

        What is asked there would be asked in our name, and have been thought of by somebody else.
        """
        return self._way.authorised(location) and not self._way.authorised(answer.url)

    def _manifest_url(self, repository: str, reference: str) -> str:
        return f"{self._base}/v2/{repository}/manifests/{reference}"

    def _subject(self, repository: str, reference: str) -> str:
        return f"{self._name}/{repository}{'@' if ':' in reference else ':'}{reference}"


def _followed(status: int, method: str, body: Body | bytes | None) -> bool:
    """Whether a redirect is followed here.

    A blob's bytes are pulled once: they are the upload session's to send again. A manifest that is to go elsewhere
    would not be where the tag is read back.
    """
    if method in ("GET", "HEAD"):
        return status in REDIRECTS
    return status in _SAME_AGAIN and body is None


def _is_distribution_3(answer: Answer) -> bool:
    """Whether an answer is an error of distribution 3, or of something that passes itself off as that.

    2.x names itself likewise, but with a charset. There a mount writes the link of the blob anew, in place: whoever
    reads it meanwhile finds it empty, and a blob that is there is unknown (seen with 200 jobs side by side).
    """
    headers = answer.headers
    named = "Docker-Distribution-Api-Version" in headers
    return named and answer.status >= 400 and headers.get("Content-Type") == "application/json"  # noqa: PLR2004 (4xx, 5xx)

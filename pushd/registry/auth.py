"""Authorisation: what goes into the Authorization header, learned from the registry's challenges.

Basic (RFC 7617), Docker's token protocol, and bearer tokens that were given to us as such. A 401 names what is wanted;
what was refused is asked for anew once, and the same refusal twice is an answer.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import anyio

from pushd.errors import Code, RegistryError
from pushd.oci.challenge import parse_challenges
from pushd.oci.scope import widened
from pushd.registry.tokens import fetch_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushd.credentials.credential import Credential
    from pushd.oci.challenge import Challenge
    from pushd.oci.scope import Scopes
    from pushd.registry.tokens import Token
    from pushd.registry.way import Way
    from pushd.registry.wire import Answer

    Renew = Callable[[Credential], Awaitable[Credential | None]]
    """Gives what stands now where a credential was found that the registry has refused."""


_SCOPES: Final = 1024
"""Scopes from which on those nobody asks for are forgotten: one for each repository, and for each pair in a mount."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """What an error said, and when. Not the error: it holds on to all it went through, secrets and all."""

    code: Code
    subject: str
    detail: str
    hint: str
    retry_after: float | None
    at: float

    @classmethod
    def of(cls, error: RegistryError, *, at: float) -> _Failure:
        """Keep what an error says."""
        return cls(error.code, error.subject, error.detail, error.hint, error.retry_after, at)

    @property
    def again(self) -> RegistryError:
        """The error, once more."""
        return RegistryError(self.code, self.subject, self.detail, hint=self.hint, retry_after=self.retry_after)


class Authorizer:
    """Authorises requests to one registry with one credential, or with none.

    Args:
        way: to the registry.
        credential: ours for it, or None.
        renew: looks the credential up anew when it was refused; None when there is nowhere to look.

    Attributes:
        credential: the one in use now.
        accepted: whether the registry, or its token service, ever took it.
        refused: whether what either said of it last was no.
    """

    def __init__(self, way: Way, credential: Credential | None, renew: Renew | None = None) -> None:
        self.credential = credential
        self.accepted = False
        self.refused = False
        self._way = way
        self._renew = renew
        self._renewing = anyio.Lock()
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, Token] = {}
        self._failures: dict[Scopes, _Failure] = {}
        self._asked: dict[Scopes, Scopes] = {}
        # Whose token was refused and replaced, and nothing was heard of the new one yet.
        self._doubted: set[Scopes] = set()
        # One request for a token at a time and for the same scopes; who waited finds it here.
        self._fetching: defaultdict[Scopes, anyio.Lock] = defaultdict(anyio.Lock)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What requests may have gone out with: nobody is to repeat it."""
        ours = () if self.credential is None else self.credential.secrets
        return (*ours, *(token.header.removeprefix("Bearer ") for token in self._tokens.values()))

    async def header(self, scopes: Scopes) -> str | None:
        """Give the Authorization header for a request that needs `scopes`, or None while none was asked for.

        Raises:
            RegistryError: a token was needed and could not be had.
        """
        if self._challenge is None:
            return None
        plain = _plain(self._challenge, self.credential)
        return (await self._token(self._challenge, scopes)).header if plain is None else plain

    async def learn(self, answer: Answer, scopes: Scopes, used: str | None) -> bool:
        """Take the challenges of a 401 to heart; whether a request with a new header makes sense.

        Args:
            answer: the 401.
            scopes: what the request needed.
            used: the header it was sent with.

        Raises:
            RegistryError: a token was needed and could not be had, or the credential could not be looked up anew.
        """
        headers = answer.headers.getall("WWW-Authenticate", ())
        # A refusal that does not say what is wanted means what was wanted before.
        known = (self._challenge,) if self._challenge is not None and not headers else ()
        challenge = next(filter(self._usable, known or parse_challenges(headers)), None)
        if challenge is None:
            return False
        self._challenge = challenge
        plain = _plain(challenge, self.credential)
        if plain is not None:
            return plain != used or await self._renewed(self.credential)
        token = self._tokens.get(scopes)
        if token is not None and token.header == used:
            if not self._worth_another(challenge, scopes):
                return False
            self._doubted.add(scopes)
            del self._tokens[scopes]
        return await self.header(scopes) != used

    def heard(self, scopes: Scopes, *, pleased: bool) -> None:
        """Note how a request with our header was answered in the end: with a 401, or with anything else."""
        self.refused = not pleased
        if pleased:
            self.accepted = self.credential is not None
            self._doubted.discard(scopes)

    def forget(self, scopes: Scopes) -> None:
        """Ask for a new token the next time."""
        self._tokens.pop(scopes, None)

    def _usable(self, challenge: Challenge) -> bool:
        """Whether we have what a challenge asks for. A token may also be asked for by nobody."""
        credential = self.credential
        if challenge.scheme == "basic":
            return credential is not None and credential.basic is not None
        asks = challenge.scheme == "bearer"
        return asks and ("realm" in challenge.parameters or bool(credential and credential.registry_token))

    def _worth_another(self, challenge: Challenge, scopes: Scopes) -> bool:
        """Whether another token may please where the one for `scopes` did not."""
        if challenge.parameters.get("error") == "insufficient_scope":
            asked = self._asked.get(scopes, scopes)
            wider = widened(asked, challenge.parameters.get("scope", ""))
            self._asked[scopes] = wider
            return wider != asked  # else it was asked for all of that, and the rights are missing
        return scopes not in self._doubted or challenge.parameters.get("error") == "invalid_token"

    # ------------------------------------------------------------------------------------------------ tokens

    async def _token(self, challenge: Challenge, scopes: Scopes) -> Token:
        arrived = anyio.current_time()
        async with self._fetching[scopes]:
            token = self._tokens.get(scopes)
            # One that came while we waited is the one we would have got, however little of its life is left: where a
            # service is slower than its tokens live, each who waits would else wait for all before them.
            if token is not None and (anyio.current_time() < token.stale_at or token.came_at >= arrived):
                return token
            failure = self._failures.get(scopes)
            if failure is not None and failure.at >= arrived:
                raise failure.again  # of the request we waited for: no crowd for a service that is in trouble
            try:
                token = await self._fetch(challenge, self._asked.get(scopes, scopes))
            except RegistryError as error:
                self._failures[scopes] = _Failure.of(error, at=anyio.current_time())
                raise
            self._failures.pop(scopes, None)
            self._tidy()
            self._tokens[scopes] = token
            return token

    def _tidy(self) -> None:
        """Forget what was for scopes that nobody has asked for in a while: there is no end of repositories."""
        if len(self._fetching) < _SCOPES:
            return
        now = anyio.current_time()
        for scopes in [each for each, lock in self._fetching.items() if not lock.locked()]:
            token = self._tokens.get(scopes)
            if token is None or token.stale_at <= now:
                for known in (self._tokens, self._failures, self._asked, self._fetching):
                    known.pop(scopes, None)
                self._doubted.discard(scopes)

    async def _fetch(self, challenge: Challenge, scopes: Scopes) -> Token:
        credential = self.credential
        try:
            token = await fetch_token(self._way, challenge, scopes, credential)
        except RegistryError as error:
            self.refused = error.code is Code.REGISTRY_UNAUTHORIZED
            if not self.refused or not await self._renewed(credential):
                raise
            credential = self.credential
            token = await fetch_token(self._way, challenge, scopes, credential)
        self.accepted, self.refused = self.accepted or credential is not None, False
        if token.identity_token and credential is not None and credential is self.credential:
            self.credential = replace(credential, identity_token=token.identity_token)
        return token

    # ------------------------------------------------------------------------------------------- the credential

    async def _renewed(self, refused: Credential | None) -> bool:
        """Look up anew what was refused; whether there is another one now."""
        async with self._renewing:
            if self.credential != refused:
                return True  # whoever was refused with it before us has seen to it
            if refused is None or self._renew is None:
                return False
            found = await self._renew(refused)
            if found is None or found == refused:
                return False
            self.credential = found
            self._tokens.clear()
            return True


def _plain(challenge: Challenge, credential: Credential | None) -> str | None:
    """Give the header of a credential that goes to the registry as it is; None where a token is to be asked for."""
    if credential is None:
        return None
    if challenge.scheme == "basic":
        return credential.basic
    return f"Bearer {credential.registry_token}" if credential.registry_token else None

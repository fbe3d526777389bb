"""The ways in there are, and the mistakes on them: each makes a place in a town."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.errors import Code
from tests.fakes.credential_helper import Mood as HelperMood
from tests.fakes.token_server import Mood
from tests.integration.doors import PASSWORD, USER
from tests.integration.town import BODY_LIMIT, IDENTITY, basic, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.fakes.authority import Authority
    from tests.integration.town import Place, Town


def repository(name: str) -> str:
    """Give the repository of a case, by its name."""
    return "team/" + re.sub("[^a-z0-9]+", "-", name.lower())


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong.

    Attributes:
        place: where it is.
        code: what it is called.
        names: what the message must name; by default the address.
    """

    place: Place
    code: Code
    names: str = ""


def with_certificate(town: Town, authority: Authority) -> Place:
    pair = authority.client("pushd")
    return town.place(
        "clients", plain_http=False, ca=town.authority.ca, client_cert=pair.cert, client_key=pair.key, auth=basic()
    )


def with_certificate_in_certs_d(town: Town, password: str = PASSWORD) -> Place:
    pair = town.authority.client("pushd")
    files = {"ca.crt": town.authority.ca, "client.cert": pair.cert, "client.key": pair.key}
    return town.place("clients", plain_http=False, certificates=files, auth=basic(password))


def a_key_of_another_certificate(town: Town) -> Wrong:
    cert, key = town.authority.client("pushd").cert, town.authority.client("other").key
    place = town.place("clients", plain_http=False, ca=town.authority.ca, client_cert=cert, client_key=key)
    return Wrong(place, Code.REGISTRY_TLS_KEY, str(key))


def a_certificate_that_is_not_there(town: Town) -> Wrong:
    file = town.directory / "nowhere.cert"
    return Wrong(
        town.place("clients", plain_http=False, ca=town.authority.ca, client_cert=file),
        Code.REGISTRY_TLS_FILES,
        str(file),
    )


def a_token_service(mood: Mood, code: Code) -> Callable[[Town], Wrong]:
    def make(town: Town) -> Wrong:
        place = town.place("tokens", auth=basic())
        # Its moods go by repository, and each place has one of its own.
        town.tokens.moods[repository(f"a token service {mood.name.lower()}")] = mood
        return Wrong(place, code, town.tokens.address)

    return make


def a_helper(mood: HelperMood, code: Code) -> Callable[[Town], Wrong]:
    def make(town: Town) -> Wrong:
        name = town.helper(mood.name.lower(), mood=mood)
        return Wrong(town.place("users", helper=name), code, f"docker-credential-{name}")

    return make


WAYS: Mapping[str, Callable[[Town], Place]] = {
    "as nobody": lambda town: town.place("open"),
    "with a password": lambda town: town.place("users", auth=basic()),
    "with a password podman keeps": lambda town: town.place("users", podman=basic()),
    "with a password systemd keeps": lambda town: town.place("users", systemd=f"{USER}:{PASSWORD}"),
    "with a password a helper keeps": lambda town: town.place("users", helper=town.helper("keeps")),
    "with a token": lambda town: town.place("tokens", auth=basic()),
    "with an identity token": lambda town: town.place("tokens", auth=identity(IDENTITY)),
    "with an identity token a helper keeps": lambda town: town.place(
        "tokens", helper=town.helper("identifies", username="<token>", secret=IDENTITY)
    ),
    "a private authority": lambda town: town.place("tls", plain_http=False, ca=town.authority.ca),
    "a private authority in certs.d": lambda town: town.place(
        "tls", plain_http=False, certificates={"ca.crt": town.authority.ca}
    ),
    "any authority": lambda town: town.place("tls", plain_http=False, insecure_skip_verify=True),
    "a client certificate": lambda town: with_certificate(town, town.authority),
    "a client certificate in certs.d": with_certificate_in_certs_d,
    "nginx with users": lambda town: town.behind_nginx(auth=basic(), chunk_size=str(BODY_LIMIT)),
    "a proxy": lambda town: town.place("tls", address="registry.test:5000", ca=town.authority.ca),
    "a proxy for plain HTTP": lambda town: town.place("open", address="plain.test:5000", plain_http=True),
    "a storage elsewhere": lambda town: town.before_a_storage(redirects=False),
    "a storage elsewhere by redirects": lambda town: town.before_a_storage(redirects=True),
}
"""How the daemon is let in."""


MISTAKES: Mapping[str, Callable[[Town], Wrong]] = {
    "no password": lambda town: Wrong(town.place("users"), Code.REGISTRY_UNAUTHORIZED),
    "a wrong password": lambda town: Wrong(town.place("users", auth=basic("wrong")), Code.REGISTRY_UNAUTHORIZED),
    "a password that is no base64": lambda town: Wrong(
        town.place("users", auth={"auth": "%%%"}), Code.REGISTRY_CREDENTIALS_ENCODING, str(town.docker_config)
    ),
    "a password systemd does not keep": lambda town: Wrong(
        town.place("users", credential="nowhere"), Code.REGISTRY_CREDENTIALS, "nowhere"
    ),
    "a wrong password for a token": lambda town: Wrong(
        town.place("tokens", auth=basic("wrong")), Code.REGISTRY_UNAUTHORIZED, town.tokens.address
    ),
    "an expired identity token": lambda town: Wrong(
        town.place("tokens", auth=identity("an-old-one")), Code.REGISTRY_UNAUTHORIZED, town.tokens.address
    ),
    "a token as nobody": lambda town: Wrong(town.place("tokens"), Code.REGISTRY_UNAUTHORIZED),
    "a token service refuses": a_token_service(Mood.REFUSES, Code.REGISTRY_DENIED),
    "a token service forgets": a_token_service(Mood.FORGETS, Code.REGISTRY_TOKEN_MISSING),
    "a token service negative": a_token_service(Mood.NEGATIVE, Code.REGISTRY_TOKEN_LIFE),
    "a token service endless": a_token_service(Mood.ENDLESS, Code.REGISTRY_TOKEN_TOO_LONG),
    "a token service of another scheme": lambda town: Wrong(
        town.place("tokens by ftp", auth=basic()), Code.REGISTRY_REALM_REFUSED
    ),
    "a token service without TLS": lambda town: Wrong(
        town.place("tokens in the open", auth=basic(), plain_http=False, ca=town.authority.ca),
        Code.REGISTRY_REALM_REFUSED,
        town.tokens.address,
    ),
    "a helper that is not there": lambda town: Wrong(
        town.place("users", helper="nowhere"), Code.REGISTRY_HELPER_MISSING, "docker-credential-nowhere"
    ),
    "a helper that hangs": a_helper(HelperMood.HANGS, Code.REGISTRY_HELPER_TIMEOUT),
    "a helper that crashes": a_helper(HelperMood.CRASHES, Code.REGISTRY_HELPER_FAILED),
    "a helper that fails": a_helper(HelperMood.FAILS, Code.REGISTRY_HELPER_FAILED),
    "a helper that knows nothing": lambda town: Wrong(
        town.place("users", helper=town.helper("ignorant", mood=HelperMood.KNOWS_NOTHING)), Code.REGISTRY_UNAUTHORIZED
    ),
    "a helper that babbles": a_helper(HelperMood.BABBLES, Code.REGISTRY_HELPER_MALFORMED),
    "a helper that floods": a_helper(HelperMood.FLOODS, Code.REGISTRY_HELPER_MALFORMED),
    "an authority nobody knows": lambda town: Wrong(town.place("tls", plain_http=False), Code.REGISTRY_TLS_UNTRUSTED),
    "another authority": lambda town: Wrong(
        town.place("tls", plain_http=False, ca=town.stranger.ca), Code.REGISTRY_TLS_UNTRUSTED
    ),
    "an expired certificate": lambda town: Wrong(
        town.place("expired", plain_http=False, ca=town.authority.ca), Code.REGISTRY_TLS_EXPIRED
    ),
    "a certificate for another name": lambda town: Wrong(
        town.place("another name", plain_http=False, ca=town.authority.ca), Code.REGISTRY_TLS_NAME
    ),
    "no client certificate": lambda town: Wrong(
        town.place("clients", plain_http=False, ca=town.authority.ca, auth=basic()), Code.REGISTRY_TLS_CLIENT
    ),
    "a stranger's client certificate": lambda town: Wrong(
        with_certificate(town, town.stranger), Code.REGISTRY_TLS_CLIENT
    ),
    "a client certificate and a wrong password": lambda town: Wrong(
        with_certificate_in_certs_d(town, "wrong"), Code.REGISTRY_UNAUTHORIZED
    ),
    "a key of another certificate": a_key_of_another_certificate,
    "a certificate that is not there": a_certificate_that_is_not_there,
    "nginx and a wrong password": lambda town: Wrong(
        town.behind_nginx(auth=basic("wrong")), Code.REGISTRY_UNAUTHORIZED
    ),
    "nginx and chunks that are too large for it": lambda town: Wrong(
        town.behind_nginx(auth=basic()), Code.REGISTRY_REFUSED, "chunk_size"
    ),
    "a proxy that does not know the name": lambda town: Wrong(
        town.place("tls", address="nowhere.test:5000"), Code.REGISTRY_UNREACHABLE, town.proxy.address
    ),
}
"""Why the daemon is not let in."""

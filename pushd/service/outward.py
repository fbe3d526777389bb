"""The way out: registries, and how each is reached, out of the configuration and the environment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from pushd.config import Registry
from pushd.credentials.places import daemons_places
from pushd.registry import Registries, Settings, Timeouts, Wire
from pushd.registry.certificates import Certificates
from pushd.registry.expiring import Expiring
from pushd.registry.own import OwnCredentials
from pushd.registry.profiles import profile_for, profile_named
from pushd.registry.proxies import read_proxies
from pushd.registry.tls import Tls
from pushd.service.access import grants
from pushd.telemetry.events import REGISTRY_INSECURE, Event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pushd.config import Config
    from pushd.push.ports.emit import Emit
    from pushd.registry.profiles import Profile
    from pushd.registry.proxies import Proxies
    from pushd.registry.registries import Keyring


def make_wire(config: Config, environ: Mapping[str, str], emit: Emit) -> Wire:
    """Build the HTTP of the daemon; certificates that expire soon are told of.

    Raises:
        DaemonError: `daemon.config`, a proxy in the environment cannot be used.
    """
    expiring = Expiring(emit)
    return Wire(
        _timeouts(config),
        proxies=_proxies(config, environ),
        certificates=_certificates(config, expiring),
        expiring=expiring,
    )


def configure_wire(wire: Wire, config: Config, environ: Mapping[str, str]) -> None:
    """Configure it anew; likewise."""
    certificates = _certificates(config, wire.expiring)
    wire.configure(_timeouts(config), proxies=_proxies(config, environ), certificates=certificates)


def make_registries(
    config: Config,
    environ: Mapping[str, str],
    wire: Wire,
    keyring: Keyring,
    *,
    profiles: Sequence[Profile],
    emit: Emit,
) -> Registries:
    """Build what gives registries to whoever delivers; tell of those that are not verified."""
    _tell_of_insecure(config, emit)
    return Registries(
        wire,
        settings=partial(settings_of, config, profiles),
        own=_own_credentials(config, environ, emit),
        grants=grants(config),
        keyring=keyring,
    )


def configure_registries(
    registries: Registries, config: Config, environ: Mapping[str, str], *, profiles: Sequence[Profile], emit: Emit
) -> None:
    """Configure it anew; likewise."""
    _tell_of_insecure(config, emit)
    registries.configure(
        settings=partial(settings_of, config, profiles),
        own=_own_credentials(config, environ, emit),
        grants=grants(config),
    )


def _tell_of_insecure(config: Config, emit: Emit) -> None:
    for name, registry in config.registries.items():
        if registry.insecure_skip_verify:
            emit(Event(REGISTRY_INSECURE, datetime.now(UTC), fields={"registry": name}))


def _certificates(config: Config, expiring: Expiring | None) -> Certificates:
    own = {name: _tls(registry) for name, registry in config.registries.items()}
    return Certificates(config.tls.certs_d, own, expiring=expiring)


def _own_credentials(config: Config, environ: Mapping[str, str], emit: Emit) -> OwnCredentials:
    it = config.credentials
    places = daemons_places(
        environ,
        configured=None if it.docker_config is None else str(it.docker_config),
        names={name: registry.credential for name, registry in config.registries.items() if registry.credential},
    )
    return OwnCredentials(places, helper_timeout=it.helper_timeout, helper_cache=it.helper_cache, emit=emit)


def _timeouts(config: Config) -> Timeouts:
    it = config.timeouts
    return Timeouts(connect=it.connect, stall=it.stall, commit=it.commit, request=it.request)


def settings_of(config: Config, profiles: Sequence[Profile], name: str) -> Settings:
    """Give how a registry is spoken to: what is configured for it, over what is known of its kind."""
    registry = config.registries.get(name, Registry())
    kind = profile_for(name, profiles) if registry.profile is None else profile_named(registry.profile, profiles)
    limits = kind.limits
    if registry.upload is not None:
        limits = replace(limits, forms=(registry.upload,))
    if registry.chunk_size is not None:
        limits = replace(limits, chunk_size=registry.chunk_size, chunk_max=None)
    return Settings(
        plain_http=registry.plain_http,
        tls=_tls(registry),
        addresses=registry.addresses,
        credential_hosts=registry.credential_hosts,
        limits=limits,
    )


def _tls(registry: Registry) -> Tls:
    return Tls(
        ca=registry.ca,
        client_cert=registry.client_cert,
        client_key=registry.client_key,
        insecure_skip_verify=registry.insecure_skip_verify,
    )


def _proxies(config: Config, environ: Mapping[str, str]) -> Proxies:
    it = config.proxy
    return read_proxies(http=it.http, https=it.https, no_proxy=it.no_proxy, environ=environ)

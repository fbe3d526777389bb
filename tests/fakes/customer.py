"""A customer of the API who has read its contract and nothing else: asks, and holds it to its answers."""

from __future__ import annotations

import re
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import hypothesis
import requests
import schemathesis
import urllib3
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from schemathesis import Case

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
_FRAMING = ("Content-Length", "Transfer-Encoding")
_BASE = "http://pushd"
_LEFT_OUT = {"spooled", "credential", "credentials"}
"""Fields that lead astray whatever else is said, unless they are said too."""
_PATIENCE = 20.0
"""Seconds for an answer: nothing asked here is held open."""


class _UnixConnection(urllib3.connection.HTTPConnection):
    """HTTP over a unix socket, for urllib3."""

    def __init__(self, path: str) -> None:
        super().__init__("pushd", timeout=_PATIENCE)
        self._path = path

    def _new_conn(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_PATIENCE)
        connection.connect(self._path)
        return connection


class _UnixPool(urllib3.HTTPConnectionPool):
    """One connection after the other."""

    def __init__(self, path: str) -> None:
        super().__init__("pushd")
        self._path = path

    def _new_conn(self) -> _UnixConnection:
        return _UnixConnection(self._path)


class _UnixAdapter(HTTPAdapter):
    """Takes every request to one unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._pool = _UnixPool(path)

    def get_connection_with_tls_context(self, *_: object, **__: object) -> _UnixPool:
        return self._pool

    def close(self) -> None:
        super().close()
        self._pool.close()


class Customer:
    """Asks over a unix socket.

    Attributes:
        answered: how often each status came back.
    """

    def __init__(self, path: Path) -> None:
        self._session = requests.Session()
        self._session.mount(_BASE, _UnixAdapter(str(path)))
        self.answered: Counter[int] = Counter()
        text = self._session.get(f"{_BASE}/v1/openapi.yaml", timeout=_PATIENCE).text
        self._schema = schemathesis.openapi.from_file(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def operations(self) -> Iterator[tuple[str, str]]:
        """Give method and path of all there is to ask; what takes things away comes last."""
        found = []
        for result in self._schema.get_all_operations():
            assert isinstance(result, Ok), result
            found.append(result.ok())
        for operation in sorted(found, key=lambda operation: operation.method == "delete"):
            yield operation.method.upper(), operation.path

    def exercise(
        self,
        method: str,
        path: str,
        *,
        known: Mapping[str, Sequence[str]],
        bodies: Sequence[Mapping[str, object]] = (),
        examples: int,
    ) -> None:
        """Ask one operation in many ways, right and wrong ones, and hold each answer against the contract.

        Args:
            method: of the operation,
            path: and its path.
            known: for parameters of paths, values that lead somewhere.
            bodies: for documents with such fields, values that lead somewhere.
            examples: requests of each mode.
        """
        operation = self._schema[path][method]
        places: list[dict[str, str] | None] = [None]
        for name, values in known.items():
            if f"{{{name}}}" in path:
                places += [{name: value} for value in values]
        for mode in MODES:
            cases = st.one_of([operation.as_strategy(mode, path_parameters=place) for place in places])
            try:
                self._ask(cases, [{}, *bodies] if mode is GenerationMode.POSITIVE else [{}], examples)
            except hypothesis.errors.Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # there is nothing that could be asked wrongly

    def _ask(self, cases: st.SearchStrategy[Case[Any]], bodies: Sequence[Mapping[str, object]], examples: int) -> None:
        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # a request that went wrong is shown as it is: asking again may answer differently
            suppress_health_check=list(HealthCheck),
        )
        @given(cases, st.sampled_from(bodies))
        def ask(case: Case[Any], fields: Mapping[str, object]) -> None:
            if isinstance(case.body, dict) and fields.keys() <= case.body.keys() | _LEFT_OUT:
                case.body = {**case.body, **dict[str, Any](fields)}
            _hurry(case)
            _unframe(case)
            response = case.call(base_url=_BASE, session=self._session, timeout=_PATIENCE)
            self.answered[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        ask()


def _unframe(case: Case[Any]) -> None:
    """Leave it to the client to say how its body is framed: what says otherwise is no HTTP, and tried elsewhere."""
    headers: Any = case.headers
    for name in _FRAMING if headers is not None else ():
        headers.pop(name, None)


def _hurry(case: Case[Any]) -> None:
    """Change what would hold a request open: that is allowed, and tried elsewhere."""
    query: Any = case.query
    if case.path == "/v1/events" and isinstance(query, dict) and query.get("follow", "1") in ("1", "true"):
        query["follow"] = "0"
    if case.path.endswith("/wait") and isinstance(query, dict):
        timeout = query.get("timeout", 60)
        if isinstance(timeout, int | float) or re.fullmatch(r"[0-9.]+", str(timeout)):
            query["timeout"] = 0.01
    headers: Any = case.headers
    if headers is not None and "wait" in str(headers.get("Prefer", "")).lower():
        headers["Prefer"] = "wait=0"

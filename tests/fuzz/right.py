"""Requests that are as they should be, for chance to begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

_DIGEST: Final = f"sha256:{'ab' * 32}"


@dataclass(frozen=True, slots=True)
class Places:
    """What is there to be asked about.

    Attributes:
        jobs: ids of jobs.
        entries: ids of spool entries.
        source: an image that can be submitted.
    """

    jobs: tuple[str, ...]
    entries: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `raw` goes before `body`, which is a document."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None
    raw: bytes | None = None

    def content(self) -> bytes:
        """Give the body."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else json.dumps(self.body).encode()

    def head(self, *extra: tuple[str, str]) -> bytes:
        """Give request line and headers, with the empty line."""
        query = "&".join(f"{name}={value}" for name, value in self.query)
        target = f"{self.path}?{query}" if query else self.path
        lines = [f"{self.method} {target} HTTP/1.1", "Host: pushd"]
        lines += [f"{name}: {value}" for name, value in (*self.headers, *extra)]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def whole(self) -> bytes:
        """Give it as it ought to be."""
        content = self.content()
        return self.head(("Content-Length", str(len(content)))) + content


def right(places: Places) -> list[Request]:
    """Give the requests that are as they should be; they add little to what is there, however often they are made."""
    job = {
        "source": places.source,
        "destinations": ["127.0.0.1:1/team/app:1"],
        "priority": 1,
        "labels": {"build": "4711"},
        "deadline": 3600,
        "verify": "tag",
        "not_before": "2020-01-01T00:00:00Z",
        "if_tag": "absent",
        "retain": "source",
        "platforms": ["linux/amd64"],
        "validate": "full",
        "compress": "zstd",
        "tags": "together",
        "with_referrers": True,
    }
    spooled = {
        "entry": places.entries[0],
        "media_type": "application/vnd.oci.image.manifest.v1+json",
        "digest": _DIGEST,
    }
    password = {"registry": "127.0.0.1:1", "username": "u", "password": "p", "expires_in": 60}
    token = {"registry": "127.0.0.1:1/team", "identity_token": "t"}
    file = f"/v1/spool/{places.entries[-1]}/files"
    octets = (("Content-Type", "application/octet-stream"), ("Upload-Offset", "0"))
    requests = [
        Request("POST", "/v1/jobs", body={**job, "source": "oci:/nowhere"}),
        Request("POST", "/v1/jobs", body={**job, "spooled": {**spooled, "size": 500}}),
        Request("POST", "/v1/jobs", body=job, headers=(("Idempotency-Key", "fuzz"), ("Prefer", "wait=0"))),
        Request("POST", "/v1/plan", body=job),
        Request("POST", "/v1/plan", body={**job, "credential": "fuzz"}),
        Request("POST", "/v1/plan", body={**job, "credentials": [password, token]}),
        Request("GET", "/v1/jobs", query=(("state", "queued"), ("label", "build=4711"), ("limit", "5"))),
        Request("GET", "/v1/status"),
        Request("GET", "/v1/openapi.yaml"),
        Request("GET", "/v1/metrics"),
        Request("GET", "/v1/metrics", headers=(("Accept", "application/openmetrics-text; version=1.0.0, */*;q=0.1"),)),
        Request("GET", "/v1/events", query=(("follow", "0"),)),
        Request("GET", "/v1/events", query=(("follow", "0"),), headers=(("Accept", "text/event-stream"),)),
        Request("POST", "/v1/registries/127.0.0.1:1/pause", body={}),
        Request("POST", "/v1/registries/127.0.0.1:1/resume", body={}),
        Request("POST", "/v1/registries/127.0.0.1:1/diagnose", body={"repository": "team/app"}),
        Request("POST", "/v1/registries/127.0.0.1:1/diagnose", body={"credentials": [password]}),
        Request("PUT", "/v1/logins/fuzz", body=password),
        Request("PUT", "/v1/logins/fuzz", body={"registry": "127.0.0.1:1", "registry_token": "t"}),
        Request("GET", "/v1/logins"),
        Request("DELETE", "/v1/logins/fuzz", body={}),
        Request("POST", "/v1/spool", body={"size": 1000, "ttl": 2}),
        Request("PATCH", f"/v1/spool/{places.entries[0]}", body={"size": 2000}),
        Request("PATCH", f"{file}/{_DIGEST}", headers=(*octets, ("Upload-Complete", "?1")), raw=b"x" * 300),
        Request("PATCH", f"{file}/part", headers=(*octets, ("Upload-Complete", "?0")), raw=b"x" * 300),
        *[Request("GET", f"/v1/spool/{entry}") for entry in places.entries],
    ]
    for job_id in places.jobs:
        requests += [
            Request("GET", f"/v1/jobs/{job_id}"),
            Request("GET", f"/v1/jobs/{job_id}/wait", query=(("timeout", "0"),)),
            Request("POST", f"/v1/jobs/{job_id}/retry", body={"credentials": [token]}),
        ]
        requests += [
            Request("POST", f"/v1/jobs/{job_id}/{action}", body={}) for action in ("cancel", "retry", "pause", "resume")
        ]
    return requests

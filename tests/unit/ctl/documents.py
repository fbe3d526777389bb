"""The daemon's answers to `status`, as the API shows them."""

from __future__ import annotations

from typing import Any

NOW = "2026-11-22T21:02:00Z"


def registry(**fields: object) -> dict[str, Any]:
    """Give how a registry stands."""
    return {
        "queued": 0, "running": 0, "held": 0, "paused": 0, "sent": 0, "rate": 0, "throttled_for": None,
        "paused_since": None, **fields,
    }  # fmt: skip


def transfer(number: int = 0, **fields: object) -> dict[str, Any]:
    """Give a transfer that is under way."""
    return {
        "job": "abc123DEF-_x", "destination": "registry.example.com/team/app:1.4",
        "digest": f"sha256:{number:08x}{'f' * 56}", "size": 29_800_000, "done": 18_200_000, "sent": 18_200_000,
        "rate": 1_200_000, "seconds": 15.2, **fields,
    }  # fmt: skip


STATUS: dict[str, Any] = {
    "version": "0.1.0", "now": NOW, "uid": 1000, "role": "submitter", "paths": True, "uptime": 3700.5, "epoch": 3,
    "stream": "s1", "queue": {"queued": 4, "running": 2, "held": 1, "paused": 0}, "oldest": "2026-11-22T20:50:00Z",
    "uploads": {"running": 8, "waiting": 20},
    "registries": {
        "mirror.example.net": registry(held=1, throttled_for=12.0),
        "registry.example.com": registry(queued=4, running=2, sent=123_000_000, rate=12_300_000),
    },
    "transfers": [transfer(1, rate=0, seconds=200.0), transfer(2)],
}  # fmt: skip
ADMINISTRATOR: dict[str, Any] = {
    **STATUS, "uid": 0, "role": "administrator", "pid": 7, "socket": "/run/pushd/pushd.sock",
    "state_dir": "/var/lib/pushd", "limits": {"deliveries": 16, "uploads": 8},
    "disk": {
        "database": 12_000_000, "spool": 1_200_000_000, "free": 5_400_000_000, "budget": 10_000_000_000,
        "reserve": 1_000_000_000, "refusing": [],
    },
}  # fmt: skip

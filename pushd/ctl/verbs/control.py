"""Steering jobs and registries."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from pushd.client import Client
from pushd.ctl.exits import Exit
from pushd.ctl.quantities import show_time
from pushd.ctl.texts import clean, job_line, json_line
from pushd.job import JobState

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping
    from typing import Any

    from pushd.job import Job


def cancel(typed: Namespace) -> Exit:
    """Cancel jobs, or everything that goes to a registry."""
    client = Client(typed.socket)
    if not _names_registry(typed):
        return _each(typed, client.cancel, _cancelled)
    it = client.cancel_registry(typed.registry)
    words = f"{it['cancelled']} deliveries to {clean(it['registry'])} cancelled, {it['stopping']} are being stopped"
    print(json_line(it) if typed.json else words, flush=True)
    return Exit.DONE


def retry(typed: Namespace) -> Exit:
    """Try again what failed of jobs."""
    again = partial(Client(typed.socket).retry, credential=typed.credential)
    return _each(typed, again, lambda job: f"is {job.state.value}")


def pause(typed: Namespace) -> Exit:
    """Hold jobs back, or a registry."""
    client = Client(typed.socket)
    if _names_registry(typed):
        return _registry(client.pause_registry(typed.registry), as_json=typed.json)
    return _each(typed, client.pause, _paused)


def resume(typed: Namespace) -> Exit:
    """Let jobs or a registry go on."""
    client = Client(typed.socket)
    if _names_registry(typed):
        return _registry(client.resume_registry(typed.registry), as_json=typed.json)
    return _each(typed, client.resume, lambda job: f"goes on: {job.state.value}")


def _names_registry(typed: Namespace) -> bool:
    if bool(typed.jobs) == bool(typed.registry):
        typed.parser.error("name jobs, or one registry with --registry")
    return bool(typed.registry)


def _each(typed: Namespace, do: Callable[[str], Job], words: Callable[[Job], str]) -> Exit:
    for job_id in typed.jobs:
        job = do(job_id)
        print(job_line(job) if typed.json else f"job {clean(job.id)} {words(job)}", flush=True)
    return Exit.DONE


def _cancelled(job: Job) -> str:
    return job.state.value if job.state.terminal else "is being stopped"


def _paused(job: Job) -> str:
    return "is paused" if job.state is JobState.PAUSED else "is being paused"


def _registry(standing: Mapping[str, Any], *, as_json: bool) -> Exit:
    since = standing["paused_since"]
    words = f"is paused since {show_time(datetime.fromisoformat(since))}" if since else "is served"
    print(json_line(standing) if as_json else f"{clean(standing['registry'])} {words}", flush=True)
    return Exit.DONE

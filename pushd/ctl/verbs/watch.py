"""Staying with jobs until they have ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pushd.client import Client
from pushd.ctl.detach import detachable
from pushd.ctl.exits import Exit, exit_of_jobs
from pushd.ctl.follow import follow, hear, view_on
from pushd.ctl.reports import report
from pushd.ctl.texts import json_line
from pushd.job import JobState

if TYPE_CHECKING:
    from argparse import Namespace

_UNFINISHED = [state for state in JobState if not state.terminal]


def wait(typed: Namespace) -> Exit:
    """Wait for jobs to end."""
    client = Client(typed.socket)
    ended = []
    for number, job_id in enumerate(typed.jobs):
        with detachable(*typed.jobs[number:]):
            job = client.wait(job_id)
        report(job, as_json=typed.json)
        ended.append(job)
    return exit_of_jobs(ended)


def watch(typed: Namespace) -> Exit:
    """Look on while a job is delivered."""
    client = Client(typed.socket)
    job = client.get(typed.job) if typed.job else next(client.list(states=_UNFINISHED, limit=1), None)
    if job is None:
        print("nothing to watch: no job is unfinished", file=sys.stderr)
        return Exit.DONE
    with detachable(job.id):
        if typed.json:
            job = hear(client, job, lambda event: print(json_line(event), flush=True))
        else:
            job = follow(client, job, view_on(sys.stdout, job))
    report(job, as_json=typed.json)
    return exit_of_jobs([job])

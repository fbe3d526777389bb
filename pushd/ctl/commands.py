"""The verbs of pushctl: each takes the parsed arguments, speaks to the daemon, prints, and gives an exit code."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pushd.client import Client
from pushd.ctl.exits import Exit, exit_of_jobs
from pushd.ctl.texts import clean, job_line, json_line
from pushd.errors import Code, PushdError
from pushd.job import JobState

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator

_UNFINISHED = [state for state in JobState if not state.terminal]


class Detached(Exception):  # noqa: N818 (not an error: the job goes on)
    """The person left while the job goes on."""


def push(arguments: Namespace) -> Exit:
    """Submit a job; with `--wait` look on until it has ended."""
    client = Client(arguments.socket)
    try:
        job = client.submit(
            arguments.source,
            arguments.destinations,
            priority=arguments.priority,
            labels=dict(arguments.labels),
            deadline=arguments.deadline,
            verify=arguments.verify,
        )
    except KeyboardInterrupt:
        print("\ninterrupted before the daemon answered: `pushctl jobs` shows if the job was taken", file=sys.stderr)
        raise
    if arguments.wait:
        from pushd.ctl.follow import follow, view_on  # noqa: PLC0415 (a plain push starts faster without it)
        from pushd.ctl.reports import report  # noqa: PLC0415 (the same)

        with _detachable(job.id):
            job = follow(client, job, view_on(sys.stderr, job))
        report(job, as_json=arguments.json)
        return exit_of_jobs([job])
    print(job_line(job) if arguments.json else clean(job.id), flush=True)
    if sys.stderr.isatty():
        job_id = clean(job.id)
        print(f"job {job_id} is taken; `pushctl watch {job_id}` shows how it goes", file=sys.stderr)
    return Exit.DONE


def jobs(arguments: Namespace) -> Exit:
    """List jobs, newest first."""
    from itertools import islice  # noqa: PLC0415 (each command imports what it alone needs)

    found = islice(Client(arguments.socket).list(states=arguments.states), arguments.limit)
    if arguments.json:
        _print_lines(job_line(job) for job in found)
        return Exit.DONE
    from shutil import get_terminal_size  # noqa: PLC0415 (slow to import)

    from pushd.ctl.tables import jobs_table  # noqa: PLC0415 (as above)

    width = get_terminal_size().columns if sys.stdout.isatty() else None
    _print_lines(jobs_table(found, datetime.now(UTC), width=width))
    return Exit.DONE


def show(arguments: Namespace) -> Exit:
    """Show one job."""
    job = Client(arguments.socket).get(arguments.job)
    if arguments.json:
        print(job_line(job))
        return Exit.DONE
    from pushd.ctl.tables import job_page  # noqa: PLC0415 (each command imports what it alone needs)

    _print_lines(job_page(job, datetime.now(UTC)))
    return Exit.DONE


def wait(arguments: Namespace) -> Exit:
    """Wait for jobs to end."""
    from pushd.ctl.reports import report  # noqa: PLC0415 (each command imports what it alone needs)

    client = Client(arguments.socket)
    ended = []
    for number, job_id in enumerate(arguments.jobs):
        with _detachable(*arguments.jobs[number:]):
            job = client.wait(job_id)
        report(job, as_json=arguments.json)
        ended.append(job)
    return exit_of_jobs(ended)


def watch(arguments: Namespace) -> Exit:
    """Look on while a job is delivered."""
    from pushd.ctl.follow import follow, view_on  # noqa: PLC0415 (each command imports what it alone needs)
    from pushd.ctl.reports import report  # noqa: PLC0415 (the same)

    client = Client(arguments.socket)
    job = client.get(arguments.job) if arguments.job else next(client.list(states=_UNFINISHED), None)
    if job is None:
        print("nothing to watch: no job is unfinished", file=sys.stderr)
        return Exit.DONE
    with _detachable(job.id):
        if arguments.json:
            _print_lines(json_line(event) for event in client.events(job=job.id, follow=not job.state.terminal))
            job = client.get(job.id)
        else:
            job = follow(client, job, view_on(sys.stdout, job))
    report(job, as_json=arguments.json)
    return exit_of_jobs([job])


def cancel(arguments: Namespace) -> Exit:
    """Cancel jobs."""
    client = Client(arguments.socket)
    for job_id in arguments.jobs:
        job = client.cancel(job_id)
        if arguments.json:
            print(job_line(job), flush=True)
        elif job.state.terminal:
            print(f"job {clean(job.id)} {job.state.value}", flush=True)
        else:
            print(f"job {clean(job.id)} is being stopped", flush=True)
    return Exit.DONE


def events(arguments: Namespace) -> Exit:
    """Print events."""
    from pushd.ctl.lines import event_line  # noqa: PLC0415 (each command imports what it alone needs)

    told = Client(arguments.socket).events(arguments.after, job=arguments.job, follow=arguments.follow)
    if arguments.json:
        _print_lines(json_line(event) for event in told)
    else:
        _print_lines(f"{event['seq']} {event_line(event)}" for event in told if "seq" in event)
    return Exit.DONE


def status(arguments: Namespace) -> Exit:
    """Show what the daemon is doing."""
    answer = Client(arguments.socket).status()
    if arguments.json:
        print(json_line(answer))
        return Exit.DONE
    from pushd.ctl.tables import status_page  # noqa: PLC0415 (each command imports what it alone needs)

    _print_lines(status_page(answer))
    return Exit.DONE


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


@contextmanager
def _detachable(*job_ids: str) -> Iterator[None]:
    """Let an interrupt, or the daemon's absence, end the looking on and not the jobs, and say how to come back."""
    # What `timeout 60 pushctl wait` sends is answered like Ctrl-C, so that bars are taken off the terminal.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    named = " ".join(clean(job_id) for job_id in job_ids)
    back = f"`pushctl watch {clean(job_ids[0])}`" if len(job_ids) == 1 else f"`pushctl wait {named}`"
    try:
        yield
    except KeyboardInterrupt as interrupt:
        print(
            f"\ndetached, {named} not cancelled: {back} comes back, `pushctl cancel {named}` ends it", file=sys.stderr
        )
        raise Detached from interrupt
    except PushdError as error:
        if error.code is Code.DAEMON_UNREACHABLE:
            print(f"the daemon is gone; {named} goes on when it is back: {back} comes back then", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)

"""Handing in a job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pushd.client import Client
from pushd.ctl.arguments import STANDARD_INPUT, named_file, shown
from pushd.ctl.bringing import Bringing
from pushd.ctl.detach import detachable, interruptible
from pushd.ctl.exits import Exit, exit_of_jobs
from pushd.ctl.tags import with_tags
from pushd.ctl.texts import clean, job_line
from pushd.job import Compress, Retain, Validate

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import BinaryIO

    from pushd.job import Job


def push(typed: Namespace) -> Exit:
    """Submit a job; with `--wait` look on until it has ended, with `--dry-run` only say what would be done."""
    _check(typed)
    client = Client(typed.socket)
    if typed.dry_run:
        return _plan(client, typed)
    job = _hand_over(client, typed)
    if typed.wait:
        from pushd.ctl.follow import follow, view_on  # noqa: PLC0415 (a plain push starts faster without it)
        from pushd.ctl.reports import report  # noqa: PLC0415 (the same)

        with detachable(job.id):
            job = follow(client, job, view_on(sys.stderr, job))
        report(job, as_json=typed.json)
        return exit_of_jobs([job])
    print(job_line(job) if typed.json else clean(job.id), flush=True)
    if sys.stderr.isatty():
        job_id = clean(job.id)
        print(f"job {job_id} is taken; `pushctl watch {job_id}` shows how it goes", file=sys.stderr)
    return Exit.DONE


def _check(typed: Namespace) -> None:
    """Refuse what makes no sense together, which argparse cannot know."""
    if typed.artifact_type is not None:
        _check_files(typed)
        return
    operands = (("SOURCE", typed.source is None), ("DESTINATION", not typed.destinations))
    if missing := [name for name, is_missing in operands if is_missing]:
        typed.parser.error(f"the following arguments are required: {', '.join(missing)}")
    if typed.annotations:
        typed.parser.error("--annotation goes with --artifact-type: what an image says of itself is in its manifest")
    if typed.to:
        typed.parser.error("--to goes with --artifact-type: the destinations of an image follow it, all of them")
    if not _streamed(typed):
        return
    if typed.with_referrers:
        typed.parser.error("--with-referrers needs an image that is named: of standard input the image alone is taken")
    if typed.dry_run:
        typed.parser.error("--dry-run needs an image that can be read again: standard input cannot")
    if sys.stdin is None or sys.stdin.isatty():
        typed.parser.error(
            f"standard input is no archive but a terminal: docker save IMAGE | pushctl push - {typed.destinations[0]}"
        )


def _check_files(typed: Namespace) -> None:
    if typed.source is None:
        typed.parser.error("the following arguments are required: DESTINATION")
    if not (typed.destinations or typed.annotations):
        # It could be: but more likely is a pattern that matched nothing, or a destination that was forgotten.
        typed.parser.error("there is nothing to push: name a FILE behind the DESTINATION, or an --annotation at least")
    if typed.platforms:
        typed.parser.error("--platform chooses among the images of an index: files are for every platform")
    if typed.validate is Validate.FULL:
        typed.parser.error("--validate full looks into the layers of images: files are pushed as they are")
    if typed.compress not in (Compress.AUTO, Compress.NONE):
        typed.parser.error("--compress is for the layers of images: files are pushed as they are")
    if typed.with_referrers:
        typed.parser.error("--with-referrers is for images that are there: to files that are packed now nothing refers")
    if any(file.partition(":")[0] == STANDARD_INPUT for file in map(shown, typed.destinations)):
        typed.parser.error("standard input is no FILE, it has no name: write it to one, or name a file as ./-")
    keys = [key for key, _ in typed.annotations]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        typed.parser.error(f"--annotation {twice} is there twice")


def _streamed(typed: Namespace) -> bool:
    source: str = typed.source
    return source.partition(":")[0] == STANDARD_INPUT


def _hand_over(client: Client, typed: Namespace) -> Job:
    if typed.artifact_type is not None:
        return _submit_files(client, typed)
    return _stream(client, typed) if _streamed(typed) else _submit(client, typed)


def _submit(client: Client, typed: Namespace) -> Job:
    bringing = Bringing(sys.stderr, silent=typed.json)
    try:
        with interruptible(), bringing:
            return client.submit(
                typed.source,
                _destinations(typed),
                progress=bringing.progress,
                **_of_named(typed),
                **_asked(typed),
            )
    except KeyboardInterrupt:
        _interrupted(nothing_taken=bringing.brought is not None and not bringing.brought.complete)
        raise


def _stream(client: Client, typed: Namespace) -> Job:
    archive = _Input(sys.stdin.buffer)
    bringing = Bringing(sys.stderr, silent=typed.json)
    try:
        with interruptible(), bringing:
            return client.submit_stream(
                archive,  # type: ignore[arg-type]  # a BinaryIO as far as reading goes
                _destinations(typed),
                reference=typed.source.partition(":")[2],
                progress=bringing.progress,
                **_of_image(typed),
                **_asked(typed),
            )
    except KeyboardInterrupt:
        _interrupted(nothing_taken=archive.reading)
        raise


def _submit_files(client: Client, typed: Namespace) -> Job:
    bringing = Bringing(sys.stderr, silent=typed.json)
    try:
        with interruptible(), bringing:
            return client.submit_files(**_artifact(typed), progress=bringing.progress, **_asked(typed))
    except KeyboardInterrupt:
        _interrupted(nothing_taken=bringing.brought is None or not bringing.brought.complete, what="files were")
        raise


def _destinations(typed: Namespace) -> list[str]:
    """Give where an image goes."""
    return with_tags(typed.destinations, typed.tags)


def _artifact(typed: Namespace) -> dict[str, Any]:
    """Give what both ways of asking for an artifact say of it."""
    return {
        "files": [named_file(file) for file in typed.destinations],
        "destinations": with_tags([typed.source, *typed.to], typed.tags),
        "artifact_type": typed.artifact_type,
        "annotations": dict(typed.annotations),
    }


def _plan(client: Client, typed: Namespace) -> Exit:
    from pushd.ctl.plan_page import plan_page, refused  # noqa: PLC0415 (a plain push starts faster without it)
    from pushd.ctl.printing import page_width, print_lines  # noqa: PLC0415 (the same)
    from pushd.ctl.texts import json_line  # noqa: PLC0415 (the same)

    with interruptible(), Bringing(sys.stderr, silent=typed.json) as bringing:
        asked = {
            "verify": typed.verify,
            "if_tag": typed.if_tag,
            "credential": typed.credential,
            "progress": bringing.progress,
        }
        if typed.artifact_type is not None:
            plan = client.plan_files(**_artifact(typed), **asked)
        else:
            plan = client.plan(typed.source, _destinations(typed), **_of_named(typed), **asked)
    print_lines([json_line(plan)] if typed.json else plan_page(plan, width=page_width()))
    return Exit.REFUSED if refused(plan) else Exit.DONE


def _asked(typed: Namespace) -> dict[str, Any]:
    """Give what all ways of submitting are asked for."""
    return {
        "priority": typed.priority,
        "labels": dict(typed.labels),
        "deadline": typed.deadline,
        "verify": typed.verify,
        "not_before": typed.not_before,
        "if_tag": typed.if_tag,
        "retain": Retain.SPOOL if typed.spool else Retain.SOURCE,
        "tags": typed.moving,
        "credential": typed.credential,
        "idempotency_key": typed.idempotency_key,
    }


def _of_image(typed: Namespace) -> dict[str, Any]:
    """Give what images are asked for, and files are not."""
    return {"platforms": typed.platforms, "validate": typed.validate, "compress": typed.compress}


def _of_named(typed: Namespace) -> dict[str, Any]:
    """Give what images are asked for that are named, and archives on standard input are not."""
    return {**_of_image(typed), "with_referrers": typed.with_referrers}


def _interrupted(*, nothing_taken: bool, what: str = "image was") -> None:
    if nothing_taken:
        print(f"\ninterrupted while the {what} brought to the daemon: nothing was taken", file=sys.stderr)
    else:
        print("\ninterrupted before the daemon answered: `pushctl jobs` shows if the job was taken", file=sys.stderr)


class _Input:
    """Standard input, and whether it is being read: then the archive is not whole, and no job can have been taken."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.reading = False

    def read(self, size: int = -1) -> bytes | None:
        """Read as the stream does: nothing at its end, and None when there is nothing yet."""
        self.reading = True
        piece: bytes | None = self._stream.read(size)
        self.reading = piece is None
        return piece

    def fileno(self) -> int:
        """Give what can be waited for."""
        return self._stream.fileno()

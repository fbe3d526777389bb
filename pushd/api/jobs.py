"""The routes of jobs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import msgspec
from aiohttp import web

from pushd.api import parameters
from pushd.api.access import PRINCIPAL
from pushd.api.body import Nothing, read_body, read_small
from pushd.api.credentials import Given, read_credentials
from pushd.api.documents import reply
from pushd.api.submission import fingerprint, read_submission
from pushd.errors import Code, PushdError, StoreError
from pushd.job import AUTO

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushd.api.held import Held
    from pushd.api.patience import Patience
    from pushd.api.ports import Jobs
    from pushd.job import Job, JobSpec
    from pushd.work import Handed


_T = TypeVar("_T")


class _Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    credentials: list[Given] = []


class JobRoutes:
    """Submit, plan, look, wait, cancel, pause, resume, retry."""

    def __init__(self, jobs: Jobs, held: Held, patience: Patience) -> None:
        self._jobs = jobs
        self._held = held
        self._patience = patience

    def routes(self) -> list[web.RouteDef]:
        """Give the table of routes."""
        return [
            web.post("/v1/jobs", self.submit),
            web.post("/v1/plan", self.plan),
            web.get("/v1/jobs", self.list, allow_head=False),
            web.get("/v1/jobs/{id}", self.get, allow_head=False),
            web.get("/v1/jobs/{id}/wait", self.wait, allow_head=False),
            web.post("/v1/jobs/{id}/cancel", self.cancel),
            web.post("/v1/jobs/{id}/pause", self.pause),
            web.post("/v1/jobs/{id}/resume", self.resume),
            web.post("/v1/jobs/{id}/retry", self.retry),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        """202: the job is on disk. With `Prefer: wait=N` the answer may wait for its end."""
        key = parameters.idempotency_key(request.headers.getall("Idempotency-Key", []))
        preferences = request.headers.getall("Prefer", [])
        seconds = parameters.preferred_wait(preferences)
        spec, handed = await self._asked(request)
        told_apart_by = b"" if key is None else fingerprint(spec)
        submitted = self._jobs.submit(
            spec,
            handed=handed,
            caller=request[PRINCIPAL],
            idempotency_key=key,
            fingerprint=told_apart_by,
            brings=parameters.brings(preferences),
        )
        job = await self._while_there(request, spec, submitted)
        headers = {"Location": f"/v1/jobs/{job.id}"}
        if seconds is not None:
            headers["Preference-Applied"] = f"wait={seconds}"
            with suppress(PushdError):  # the job is accepted: that it cannot be watched does not undo that
                job = await self._settled(request, job, seconds)
        return reply(job, status=HTTPStatus.ACCEPTED, headers=headers)

    async def plan(self, request: web.Request) -> web.Response:
        """Tell what submitting this would do."""
        spec, handed = await self._asked(request)
        brings = parameters.brings(request.headers.getall("Prefer", []))
        planned = self._jobs.plan(spec, handed=handed, caller=request[PRINCIPAL], brings=brings)
        return reply(await self._while_there(request, spec, planned))

    async def list(self, request: web.Request) -> web.Response:
        """Give one page of jobs, newest first, and the id to ask for the next page with."""
        page = parameters.page(request.query.items())
        # One more than asked for tells whether there is a next page, without a page that turns out empty.
        found = await self._jobs.list(replace(page, limit=page.limit + 1), caller=request[PRINCIPAL])
        jobs = found[: page.limit]
        return reply({"jobs": jobs, "next": jobs[-1].id if len(found) > page.limit else None})

    async def get(self, request: web.Request) -> web.Response:
        """Give one job."""
        parameters.nothing(request.query.items())
        return reply(await self._jobs.get(_job_id(request), caller=request[PRINCIPAL]))

    async def wait(self, request: web.Request) -> web.Response:
        """Give one job when it has ended, or as it is when the time is over."""
        seconds = parameters.timeout(request.query.items())
        job = await self._jobs.get(_job_id(request), caller=request[PRINCIPAL])
        return reply(await self._settled(request, job, seconds))

    async def cancel(self, request: web.Request) -> web.Response:
        """End what is not terminal of one job."""
        return await self._act(request, self._jobs.cancel)

    async def pause(self, request: web.Request) -> web.Response:
        """Hold one job back."""
        return await self._act(request, self._jobs.pause)

    async def resume(self, request: web.Request) -> web.Response:
        """Let one job go on."""
        return await self._act(request, self._jobs.resume)

    async def retry(self, request: web.Request) -> web.Response:
        """Try again what failed of one job, perhaps with other credentials."""
        parameters.nothing(request.query.items())
        job_id = _job_id(request)
        wanted = await read_small(request, self._patience, _Retry, parts={"credentials": Given})
        handed = read_credentials(wanted.credentials, AUTO, now=datetime.now(UTC))
        return reply(await self._jobs.retry(job_id, handed=handed, caller=request[PRINCIPAL]))

    async def _act(self, request: web.Request, action: Callable[..., Awaitable[Job]]) -> web.Response:
        parameters.nothing(request.query.items())
        job_id = _job_id(request)
        await read_small(request, self._patience, Nothing)
        return reply(await action(job_id, caller=request[PRINCIPAL]))

    async def _asked(self, request: web.Request) -> tuple[JobSpec, tuple[Handed, ...]]:
        parameters.nothing(request.query.items())
        return read_submission(await read_body(request, self._patience), now=datetime.now(UTC))

    async def _while_there(self, request: web.Request, spec: JobSpec, answer: Awaitable[_T]) -> _T:
        """Wait for an answer; for an image that is fetched out of an engine only as long as the caller does.

        Raises:
            StoreError: `store.unavailable`, the daemon stops.
        """
        if not spec.in_engine:
            return await answer
        answers = []  # it stays empty when that is cut short
        with self._held.hold(request):
            answers.append(await answer)
        if not answers:
            hint = "nothing was taken: ask again when it is back"
            raise StoreError(Code.STORE_UNAVAILABLE, "the image", "is not fetched, the daemon stops", hint=hint)
        return answers[0]

    async def _settled(self, request: web.Request, job: Job, seconds: float) -> Job:
        """Wait for the end of a job, for `seconds`, the caller's departure or the daemon's end, what comes first."""
        if not job.state.terminal and seconds > 0:
            with self._held.hold(request):
                return await self._jobs.wait(job.id, seconds, caller=request[PRINCIPAL])
        return job


def _job_id(request: web.Request) -> str:
    return parameters.job_id(request.match_info["id"])

"""The routes of jobs."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio
from aiohttp import hdrs, web

from pushd.api import parameters
from pushd.api.access import UID
from pushd.api.documents import encode
from pushd.api.held import connected
from pushd.api.problems import too_large
from pushd.api.submission import MAX_BODY, fingerprint, read_submission
from pushd.errors import Code, PushdError, RequestError

if TYPE_CHECKING:
    from pushd.api.held import Held
    from pushd.api.patience import Patience
    from pushd.api.ports import Jobs
    from pushd.job import Job


class JobRoutes:
    """Submit, look, wait, cancel."""

    def __init__(self, jobs: Jobs, held: Held, patience: Patience) -> None:
        self._jobs = jobs
        self._held = held
        self._patience = patience

    def routes(self) -> list[web.RouteDef]:
        """Give the table of routes."""
        return [
            web.post("/v1/jobs", self.submit),
            web.get("/v1/jobs", self.list, allow_head=False),
            web.get("/v1/jobs/{id}", self.get, allow_head=False),
            web.get("/v1/jobs/{id}/wait", self.wait, allow_head=False),
            web.post("/v1/jobs/{id}/cancel", self.cancel),
            web.get("/v1/status", self.status, allow_head=False),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        """202: the job is on disk. With `Prefer: wait=N` the answer may wait for its end."""
        parameters.nothing(request.query.items())
        stated = hdrs.CONTENT_TYPE in request.headers
        parameters.check_json(request.content_type if stated else None, request.charset)
        key = parameters.idempotency_key(request.headers.getall("Idempotency-Key", []))
        seconds = parameters.preferred_wait(request.headers.getall("Prefer", []))
        spec = read_submission(await self._body(request))
        job = await self._jobs.submit(spec, uid=request[UID], idempotency_key=key, fingerprint=fingerprint(spec))
        headers = {"Location": f"/v1/jobs/{job.id}"}
        if seconds is not None:
            headers["Preference-Applied"] = f"wait={seconds}"
            with suppress(PushdError):  # the job is accepted: that it cannot be watched does not undo that
                job = await self._settled(request, job, seconds)
        return _reply(job, status=HTTPStatus.ACCEPTED, headers=headers)

    async def list(self, request: web.Request) -> web.Response:
        """Give one page of jobs, newest first, and the id to ask for the next page with."""
        page = parameters.page(request.query.items())
        # One more than asked for tells whether there is a next page, without a page that turns out empty.
        found = await self._jobs.list(states=page.states, after=page.after, limit=page.limit + 1)
        jobs = found[: page.limit]
        return _reply({"jobs": jobs, "next": jobs[-1].id if len(found) > page.limit else None})

    async def get(self, request: web.Request) -> web.Response:
        """Give one job."""
        parameters.nothing(request.query.items())
        return _reply(await self._jobs.get(_job_id(request)))

    async def wait(self, request: web.Request) -> web.Response:
        """Give one job when it has ended, or as it is when the time is over."""
        seconds = parameters.timeout(request.query.items())
        return _reply(await self._settled(request, await self._jobs.get(_job_id(request)), seconds))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel one job; any body is ignored."""
        parameters.nothing(request.query.items())
        return _reply(await self._jobs.cancel(_job_id(request)))

    async def status(self, request: web.Request) -> web.Response:
        """Give what the daemon is doing."""
        parameters.nothing(request.query.items())
        return _reply(await self._jobs.status())

    async def _settled(self, request: web.Request, job: Job, seconds: float) -> Job:
        """Wait for the end of a job, for `seconds`, the caller's departure or the daemon's end, what comes first."""
        until = anyio.current_time() + seconds
        with self._held.hold():
            while not job.state.terminal and connected(request):
                left = until - anyio.current_time()
                if left <= 0:
                    break
                job = await self._jobs.wait(job.id, min(left, self._patience.look))
        return job

    async def _body(self, request: web.Request) -> bytes:
        if (request.content_length or 0) > MAX_BODY:
            raise too_large(MAX_BODY)
        try:
            with anyio.fail_after(self._patience.body):
                return await request.read()
        except web.RequestPayloadError as error:
            # What is left of the body cannot be read. aiohttp would try to, and log its failure as its own.
            request.content.feed_eof()
            request.protocol.close()
            raise RequestError(Code.REQUEST_MALFORMED, "body", "is not what its headers say it is") from error
        except TimeoutError as error:
            late = f"did not arrive within {self._patience.body:g} seconds"
            raise RequestError(Code.REQUEST_MALFORMED, "body", late) from error


def _job_id(request: web.Request) -> str:
    return parameters.job_id(request.match_info["id"])


def _reply(
    document: object, *, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(status=status, headers=headers, body=encode(document), content_type="application/json")

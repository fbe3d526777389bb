"""Opening an upload session (OCI distribution spec 1.1, end-4a), through a mount (end-11) when one is likely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.oci.reply import Reply
from pushd.oci.upload.actions import Landing, Open, OpenIfAbsent
from pushd.oci.upload.asking import ask, failed, pause, present

if TYPE_CHECKING:
    from pushd.oci.upload.actions import Opening, Script
    from pushd.oci.upload.upload import Upload


def open_session(upload: Upload, request: Opening) -> Script[Landing | None]:
    """Open a session with this request, or with a plain `Open` after all; or give how the blob landed by it."""
    while True:
        mounting = not isinstance(request, Open)
        outcome = yield from ask(request)
        if isinstance(outcome, Reply):
            if mounting and outcome.status == 201:  # noqa: PLR2004 (spec: 201, the blob is mounted)
                return Landing.PRESENT if isinstance(request, OpenIfAbsent) else Landing.MOUNTED
            if outcome.status == 202 and outcome.location:  # noqa: PLR2004 (spec: 202, a session is open)
                upload.standing.opened(outcome)
                yield from upload.standing.save()
                return None
            # A mount is only a hope. Docker Hub and others answer a `from` they do not like with 400, 401, 403,
            # 404 or 405, and some fail inside: whatever it is, it says nothing about an upload.
            if mounting and (outcome.status == 500 or not outcome.transient):  # noqa: PLR2004
                if isinstance(request, OpenIfAbsent) and (yield from present(upload)):
                    return Landing.PRESENT
                request = Open()
                continue
        yield from pause(upload, failed(upload, outcome, "to open an upload"))

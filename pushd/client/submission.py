"""What is asked for in a job, as the daemon's JSON has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushd.client.handing import handed_over
from pushd.errors import Code, RequestError
from pushd.job import AUTO, Compress, Retain, Tags, Validate, Verify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pushd.job import Spooled
    from pushd.work import Handed


def wishes(  # noqa: PLR0913 (what may be asked of a job; by keyword)
    destinations: Sequence[str],
    *,
    priority: int = 0,
    labels: Mapping[str, str] | None = None,
    deadline: float | None = None,
    verify: Verify = Verify.TAG,
    not_before: datetime | None = None,
    if_tag: str | None = None,
    retain: Retain = Retain.SOURCE,
    platforms: Sequence[str] = (),
    validate: Validate = Validate.DIGEST,
    compress: Compress = Compress.AUTO,
    tags: Tags = Tags.EACH,
    with_referrers: bool = False,
    credential: str = AUTO,
) -> dict[str, Any]:
    """Give the fields of a submission but its source; see `Client.submit` for what they mean.

    What came with later versions is said only where it is asked for: an older daemon would refuse it.

    Raises:
        RequestError: `request.malformed`, `not_before` does not say what its hour is counted from.
    """
    document: dict[str, Any] = {
        "destinations": list(destinations),
        "priority": priority,
        "labels": dict(labels or {}),
        "deadline": deadline,
        "verify": verify,
    }
    if not_before is not None:
        document["not_before"] = _instant(not_before)
    if if_tag is not None:
        document["if_tag"] = if_tag
    if retain is not Retain.SOURCE:
        document["retain"] = retain
    if platforms:
        document["platforms"] = list(platforms)
    if validate is not Validate.DIGEST:
        document["validate"] = validate
    if compress is not Compress.AUTO:
        document["compress"] = compress
    if tags is not Tags.EACH:
        document["tags"] = tags
    if with_referrers:
        document["with_referrers"] = True
    if credential != AUTO:
        document["credential"] = credential
    return document


def sourced(
    document: Mapping[str, Any], source: str, spooled: Spooled | None, handed: Sequence[Handed] = ()
) -> dict[str, Any]:
    """Give a whole submission: of a source the daemon reads, or of one that was brought to its spool before.

    Written down when it is sent, because the seconds that credentials have left count from then.
    """
    whole = {"source": source, **document}
    if spooled is not None:
        whole["spooled"] = {name: getattr(spooled, name) for name in ("entry", "media_type", "digest", "size")}
        if spooled.referrers is not None:
            whole["spooled"]["referrers"] = spooled.referrers
    return whole | handed_over(handed)


def _instant(time: datetime) -> str:
    if time.tzinfo is None:
        hint = "give it a time zone: datetime.now(UTC) has one"
        raise RequestError(Code.REQUEST_MALFORMED, "not_before", "has no offset from UTC", hint=hint)
    return time.isoformat()

"""What is asked for in a job, as the daemon's JSON has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from pushd.client.handing import handed_over
from pushd.errors import Code, RequestError
from pushd.job import AUTO, Compress, Retain, Tags, Validate, Verify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pushd.job import Spooled
    from pushd.work import Handed


class Asked(TypedDict, total=False):
    """What may be asked wherever something is to be pushed, by keyword.

    Attributes:
        verify: what is read back before a destination counts as done; by default `pushd.job.Verify.TAG`.
        if_tag: what each destination's tag must name when it is put: `pushd.job.ABSENT`, or a digest; None for whatever
            it may be.
        credential: what registries are spoken to with, that of the source too: `pushd.job.AUTO`, the caller's own,
            which is looked up here and handed over, else one they stored, else the daemon's; `pushd.job.DAEMON`;
            `pushd.job.ANONYMOUS`; or the name of one they stored with `login`, for the destinations.
    """

    verify: Verify
    if_tag: str | None
    credential: str


class AskedOfImage(Asked, total=False):
    """What may be asked where that is an image.

    Attributes:
        platforms: what is pushed of an index, each as `OS/ARCH[/VARIANT]`; all of it when empty. The index that is
            pushed lists these and their attestations alone, and has a digest of its own unless that is all there was;
            it is an index also for one platform. A source without an index must be an image for the platform.
        validate: how far the image is looked into. With `pushd.job.Validate.FULL` each layer is decompressed before
            anything is sent, and what is wrong with one fails the job: `source.layer_invalid` and its like.
        compress: what becomes of layers that are plain tars, once the job is taken and before anything is pushed:
            nothing, or they are compressed as it says. `pushd.job.Compress.DEFAULT` leaves it to the daemon, and so
            does `AUTO` for what comes out of Docker. The image that is pushed then has a digest of its own, which the
            job has as soon as they are. It is kept in the spool until the job ends, for all its destinations.
    """

    platforms: Sequence[str]
    validate: Validate
    compress: Compress


class AskedOfSource(AskedOfImage, total=False):
    """What may be asked where the image is named, so that there may be more about it.

    Attributes:
        with_referrers: whether all goes along that refers to the image, to any manifest in it, and to what refers to
            those: signatures, SBOMs, attestations, those under cosign's tags too. What there is now is what is pushed,
            all of it before the destinations' tags. For images in a registry or a layout.
    """

    with_referrers: bool


class AskedOfJob(Asked, total=False):
    """What may be asked of a job.

    Attributes:
        priority: larger goes first; 0 by default.
        labels: the caller's own words, returned and never interpreted.
        deadline: seconds from now after which what is unfinished fails; None for the daemon's default.
        not_before: when it may begin at the earliest, with a time zone; None for at once.
        retain: where the bytes are kept until the job ends; by default `pushd.job.Retain.SOURCE`.
        tags: when the destinations' tags move. With `pushd.job.Tags.TOGETHER` everything is brought to all of them
            first, and then all move; where one destination fails for good, none does, and the others fail with it:
            `request.together`. One that a newer job has tagged meanwhile keeps nobody back.
    """

    priority: int
    labels: Mapping[str, str] | None
    deadline: float | None
    not_before: datetime | None
    retain: Retain
    tags: Tags


class AskedOfImageJob(AskedOfJob, AskedOfImage, total=False):
    """All of it, for an image that comes down a pipe."""


class AskedOfSourceJob(AskedOfJob, AskedOfSource, total=False):
    """All of it."""


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
    """Give the fields of a submission but its source; see `Asked` and those after it for what they mean.

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

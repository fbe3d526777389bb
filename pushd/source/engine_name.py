"""What an image in a container engine is called, as skopeo spells it (containers-transports(5), "docker-daemon")."""

from __future__ import annotations

from typing import Final

from pushd.errors import Code, RequestError
from pushd.job import IN_ENGINE
from pushd.oci.reference import Reference
from pushd.oci.text import printable
from pushd.source.name import SHOWN

_FORM: Final = f"write {IN_ENGINE}NAME:TAG, {IN_ENGINE}NAME@DIGEST or {IN_ENGINE}IMAGE-ID"
_FULL_IDS: Final = f"write {IN_ENGINE}sha256:HEX in full, as `docker images --no-trunc` shows it"
_HEX: Final = frozenset("0123456789abcdef")
_ID_LENGTH: Final = 64


def image_in_engine(source: str) -> str:
    """Give what to ask an engine for: `NAME:TAG`, `NAME@DIGEST` or `sha256:HEX`, as it was typed.

    A name alone would be all its tags to an engine, and is none here; nor is anything else that could mean two things.

    Raises:
        RequestError: `request.invalid_reference`.
    """
    image = source.removeprefix(IN_ENGINE)
    algorithm, _, encoded = image.partition(":")
    if _is_hex(image):
        raise _refused(source, "is an image id without its algorithm", f"write {IN_ENGINE}sha256:{image}")
    if algorithm == "sha256" and _is_hex(encoded):
        return image
    if "/" not in image and algorithm in ("sha256", "sha512"):
        raise _refused(source, "is no image id, or a shortened one: it is sha256 and 64 hexadecimal digits", _FULL_IDS)
    if "://" in image:
        raise _refused(source, "is a URL", _FORM)
    try:
        reference = Reference.parse(image)
    except RequestError as error:
        raise _refused(source, error.detail, _FORM) from error
    tagged = ":" in image.partition("@")[0].rpartition("/")[2]
    if tagged and reference.digest is not None:
        raise _refused(source, "has both a tag and a digest", "leave one out: the digest alone names the image")
    if not tagged and reference.digest is None:
        raise _refused(source, "has neither a tag nor a digest", f"write {source}:latest if that is meant")
    return image


def _is_hex(text: str) -> bool:
    return len(text) == _ID_LENGTH and set(text) <= _HEX


def _refused(source: str, detail: str, hint: str) -> RequestError:
    return RequestError(Code.REQUEST_INVALID_REFERENCE, printable(source, SHOWN), detail, hint=printable(hint, SHOWN))

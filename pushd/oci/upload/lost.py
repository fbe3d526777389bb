"""How an upload session is lost, and in which form the blob starts over: down the ladder of forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import RegistryError
from pushd.oci.upload.asking import refused
from pushd.oci.upload.limits import Form

if TYPE_CHECKING:
    from pushd.oci.reply import Reply
    from pushd.oci.upload.upload import Upload


class Lost(Exception):  # noqa: N818 (a signal inside the script, never an error anybody sees)
    """The session cannot go on; the blob may start over, in another form if one is named.

    Attributes:
        error: why.
        form: the one to start over in; None for the same.
        advice: the line of the registry's configuration that would avoid it, when one is known.
    """

    def __init__(self, error: RegistryError, form: Form | None = None, advice: str = "") -> None:
        super().__init__()
        self.error = error
        self.form = form
        self.advice = advice


def gone(upload: Upload, reply: Reply, asked: str) -> Lost:
    """The registry does not know the session any more: there is nothing to delete."""
    error = refused(upload, reply, asked)
    upload.standing.ended()
    return Lost(error)


def fall(upload: Upload, reply: Reply, length: int) -> None:
    """Start over in the next form of the ladder, if there is one, after a body of `length` bytes was refused.

    Raises:
        Lost: there is one.
    """
    following = _next_form(upload)
    if following is not None:
        form = upload.standing.form
        error = refused(upload, reply, f"to take the blob {form}")
        raise _falling(error, following, _advised(form, following, reply, length))


def miscounted(upload: Upload, error: RegistryError) -> Lost:
    """The registry's account of the bytes makes no sense, which another form may not meet."""
    following = _next_form(upload)
    return Lost(error) if following is None else _falling(error, following, f'upload = "{following}"')


def _next_form(upload: Upload) -> Form | None:
    ladder, form = upload.ladder, upload.standing.form
    following = ladder[ladder.index(form) + 1 :] if form in ladder else ()
    return following[0] if following else None


def _falling(error: RegistryError, form: Form, advice: str) -> Lost:
    """Start over in another form, with the setting that would have avoided it for the next step."""
    hint = f"`{advice}` for this registry avoids it"
    told = RegistryError(error.code, error.subject, error.detail, hint=hint, retry_after=error.retry_after)
    return Lost(told, form, advice)


def _advised(form: Form, following: Form, reply: Reply, length: int) -> str:
    """Give the line of configuration that spares the next blob a refusal.

    Args:
        form: was refused.
        following: is tried now.
        reply: the refusal.
        length: bytes of the refused body.
    """
    if form is Form.CHUNKED and reply.status == 413 and length > 1:  # noqa: PLR2004 (content too large)
        return f'chunk_size = "{_written(length // 2)}"'
    return f'upload = "{following}"'


def _written(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size // unit}{name}"
    return str(size)

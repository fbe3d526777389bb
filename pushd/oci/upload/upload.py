"""One blob on its way into one repository: what every part of the script works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pushd.oci.digest import Digest
    from pushd.oci.upload.limits import Form, Limits
    from pushd.oci.upload.patience import Patience
    from pushd.oci.upload.standing import Standing


class Upload(NamedTuple):  # for each small blob one is made: of a frozen dataclass that takes three times as long
    """What is uploaded, how the registry wants it, and how far it is.

    Attributes:
        digest: of the blob.
        size: of the blob, bytes.
        subject: the blob and where it goes, for error messages.
        limits: how the registry wants it.
        ladder: the forms to try, best first.
        patience: how long it is tried without a byte of progress.
        standing: where it stands.
    """

    digest: Digest
    size: int
    subject: str
    limits: Limits
    ladder: tuple[Form, ...]
    patience: Patience
    standing: Standing

    def reached(self, got: int) -> None:
        """The registry has `got` bytes; progress renews the patience."""
        if self.standing.reached(got):
            self.patience.renew()

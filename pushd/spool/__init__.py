"""The spool: bytes the daemon keeps itself until the job that needs them has ended.

What is on the disk is the truth: the offset of a file is its length, and after a restart all is read from there.
"""

from pushd.spool.limits import Limits
from pushd.spool.opening import open_spool
from pushd.spool.spool import Spool

__all__ = ["Limits", "Spool", "open_spool"]

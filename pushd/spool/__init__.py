"""The spool: bytes the daemon keeps itself until the job that needs them has ended.

What is on the disk is the truth: the offset of a file is its length, and after a restart all is read from there.
"""

from pushd.spool.spool import Spool, open_spool

__all__ = ["Spool", "open_spool"]

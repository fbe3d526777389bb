"""What the tests of the client share."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_NOBODY = 65534


@pytest.fixture
def powerless() -> Callable[[], AbstractContextManager[None]]:
    """Give a block in which permissions hold for us, too: root is nobody in it."""

    @contextmanager
    def block() -> Iterator[None]:
        root = os.geteuid() == 0
        if root:
            os.seteuid(_NOBODY)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)

    return block

"""The client reads images with these modules, and it is on the standard library alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = """
import sys
import {module}
print(*{{name.partition(".")[0] for name in sys.modules}} - sys.stdlib_module_names)
"""


@pytest.mark.parametrize("module", ["pushd.source", "pushd.source.index", "pushd.source.tar", "pushd.source.saved"])
def test_reading_a_source_needs_nothing_that_is_to_be_installed(module: str) -> None:
    # -S: nothing that is installed is found, and nothing of it loads itself with the interpreter.
    command = [sys.executable, "-S", "-c", LOADED.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) - {"__main__"} == {"pushd"}

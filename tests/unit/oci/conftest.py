"""Property tests are judged by what they find: a busy machine is not a finding, and a hang meets pytest's timeout."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("pushd", deadline=None)
settings.load_profile("pushd")

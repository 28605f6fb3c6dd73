"""Fixtures that several folders of tests share."""

import os

import pytest
from hypothesis import settings

from .captioner.server import VlmServer

# No test is timed: a first call may load compiled loops, and the machine may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# Test processes side by side would have twice as many threads as there are cores, which wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def vlm_server():
    """A chat server over real HTTP; set `vlm_server.script` to what it shall answer (see captioner/server.py)."""
    with VlmServer() as server:
        yield server

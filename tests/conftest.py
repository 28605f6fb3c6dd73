"""Fixtures that several folders of tests share."""

import pytest

from .captioner.server import VlmServer


@pytest.fixture
def vlm_server():
    """A chat server over real HTTP; set `vlm_server.script` to what it shall answer (see captioner/server.py)."""
    with VlmServer() as server:
        yield server

"""Fixtures of the captioner's training, made once for all tests of one base model: these go to one worker."""

import pytest

from .lora_cases import base, talks, trained  # noqa: F401 - fixtures


def pytest_collection_modifyitems(items):
    for item in items:
        of = getattr(item, "callspec", None)
        if "trained" in item.fixturenames and of and "base" in of.params:
            item.add_marker(pytest.mark.xdist_group(f"lora {of.params['base']}"))

"""A server of procedural pictures, bodies of requests to it, and what its metrics say."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from .procedural import ProceduralEngine
from .running import RunningServer

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def server():
    with RunningServer(ProceduralEngine()) as running:
        yield running


def body_of(**parameters: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": [{"text": "a lake at dawn"}]}]
    return {
        "model": "procedural",
        "input": {"messages": messages},
        "parameters": {"size": "512*512", **parameters},
    }


def metric(server: RunningServer, name: str, **labels: str) -> float:
    text = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

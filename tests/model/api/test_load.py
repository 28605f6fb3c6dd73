"""200 clients at once against a server in a process of its own: none is lost, none is mixed up, memory stays bounded."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from zcurate.model.api.credentials import endpoint_of
from zcurate.model.api.dashscope import Generated, ImageClient
from zcurate.model.api.engine import Order
from zcurate.model.api.request import ImageRequest

from .procedural import ProceduralEngine
from .running import IMPATIENT, until

ROOT = Path(__file__).parents[3]
CLIENTS = 200
STORE_BYTES = 24 << 20
PATIENT = replace(IMPATIENT, read_s=150.0, download_s=60.0)


@pytest.fixture
def process():
    command = [sys.executable, "-m", "tests.model.api.procedural_server", str(STORE_BYTES)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def round_of(client: ImageClient, number: int) -> list[Generated]:
    together = threading.Barrier(CLIENTS)

    def one(i: int) -> Generated:
        size = ("512*512", "528*512")[i % 2]
        together.wait(60)
        return client.generate(ImageRequest(f"picture {i} of round {number}", size, seed=i))

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, range(CLIENTS)))


@pytest.mark.slow
def test_200_clients_at_once_are_all_served_with_their_own_pictures_in_bounded_memory(process):
    url = process.stdout.readline().strip()
    server = psutil.Process(process.pid)
    with ImageClient(endpoint_of(url, "beijing"), None, "procedural", PATIENT) as client:
        first = round_of(client, 0)
        after_first = server.memory_info().rss
        made_bytes = sum(len(done.picture.data) for done in first)
        for number in (1, 2):
            assert len(round_of(client, number)) == CLIENTS
            made_bytes += sum(len(done.picture.data) for done in first)
        growth = server.memory_info().rss - after_first

    assert len({done.result.request_id for done in first}) == CLIENTS
    assert len({done.result.image_url for done in first}) == CLIENTS
    engine = ProceduralEngine()
    for i, done in enumerate(first):
        order = Order(f"picture {i} of round 0", done.request.width, done.request.height, i)
        assert done.picture.data == engine.generate([order])[0].encode()
    # A request is counted when its answer is out, which its client may know before.
    until(lambda: "zcurate_requests_in_flight 0.0" in httpx.get(f"{url}/metrics").text)
    text = httpx.get(f"{url}/metrics").text
    assert f'zcurate_requests_total{{code="200"}} {3 * CLIENTS}.0' in text
    kept = next(line for line in text.splitlines() if line.startswith("zcurate_store_bytes "))
    assert float(kept.split()[1]) <= STORE_BYTES < made_bytes
    print(f"made {made_bytes / 1e6:.0f} MB, rss {after_first / 1e6:.0f} MB, grew {growth / 1e6:.1f} MB")
    # Far less than was made since: what is kept lies on disk.
    assert growth < min(64 << 20, made_bytes / 2)

    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0

"""A server as a process: what its end looks like from outside, orderly or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from zcurate.model.api.credentials import endpoint_of
from zcurate.model.api.dashscope import ImageClient
from zcurate.model.api.request import ImageRequest

from .running import IMPATIENT, until

ROOT = Path(__file__).parents[3]


@contextmanager
def server_process(tmp_path, *arguments):
    command = [sys.executable, "-m", "tests.model.api.procedural_server", str(1 << 28), *arguments]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def under_way(url):
    line = next(
        t for t in httpx.get(f"{url}/metrics").text.splitlines() if t.startswith("zcurate_requests_in")
    )
    return float(line.split()[1])


def test_sigterm_finishes_what_is_under_way_and_leaves_nothing(tmp_path):
    with server_process(tmp_path) as (process, url), ThreadPoolExecutor(6) as pool:
        with ImageClient(endpoint_of(url, "beijing"), None, "procedural", IMPATIENT) as client:
            futures = [pool.submit(client.generate, ImageRequest(f"p{i}", "1024*1024")) for i in range(6)]
            until(lambda: under_way(url) >= 4)
            process.send_signal(signal.SIGTERM)
            assert all(f.result(60).picture for f in futures)
        assert process.wait(60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")
    assert list(tmp_path.iterdir()) == []


def test_clients_of_a_killed_server_are_served_by_the_next_one(tmp_path):
    stubborn = replace(IMPATIENT, attempts=200, backoff_s=0.05, max_wait_s=0.2)
    with server_process(tmp_path) as (process, url):  # noqa: SIM117
        with (
            ThreadPoolExecutor(8) as pool,
            ImageClient(endpoint_of(url, "beijing"), None, "procedural", stubborn) as client,
        ):
            requests = [ImageRequest(f"p{i}", "1024*1024", seed=i) for i in range(8)]
            futures = [pool.submit(client.generate, request) for request in requests]
            until(lambda: under_way(url) >= 4)
            process.send_signal(signal.SIGKILL)
            assert process.wait(30) == -signal.SIGKILL
            assert len(list(tmp_path.glob("zcurate-serve-*"))) == 1
            with server_process(tmp_path, url.rsplit(":", 1)[1]) as (_, again):
                assert again == url
                done = [f.result(90) for f in futures]
                # The pictures of the killed process are not left on the disk for ever.
                assert len(list(tmp_path.glob("zcurate-serve-*"))) == 1
    assert [d.request for d in done] == requests


BLOCKED = ("fastapi", "starlette", "uvicorn", "prometheus_client")
CLIENT_SIDE = (
    "credentials",
    "dashscope",
    "download",
    "generator",
    "outputs",
    "request",
    "settings",
    "store",
    "wire",
)


def test_the_client_needs_none_of_the_servers_packages():
    code = f"import sys\nfor m in {BLOCKED}: sys.modules[m] = None\n" + "".join(
        f"import zcurate.model.api.{module}\n" for module in CLIENT_SIDE
    )
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True, cwd="/")

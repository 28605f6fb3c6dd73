"""The chat client against a server of capacity C: share of the capacity it keeps busy, and what it costs.

    python benchmarks/caption_client.py             # C = 8, 64, 256; 20,000 requests for memory; Ray with 2 workers
    python benchmarks/caption_client.py --quick     # < 1 min: C = 64, fewer rounds

The server runs in its own process, answers after a latency of 2 s and takes C requests at once. What comes above that
gets 429 (the harder case, the default of the JSON line) or waits in a queue. Nothing tells the client C.

- `capacity_share_C`: mean share of the C places that were busy, by the server's own clock, from its first request to
  when it took the last one: the start, when the client does not know C yet, is included; the last round, when the
  client runs out of work, is not.
- `settled_share_C`: the same from the 5th latency on.
- `uneven_share_64`: as capacity_share_64, with lognormal latencies (sigma 0.6, mean 2 s) as answers of uneven length
  have them.
- `client_ms_per_request`: CPU time of the client's process per answer, pictures encoded beforehand.
- `image_ms`: CPU time to make one 1920 x 1280 px JPEG fit its token budget.
- `server_ceiling_per_s`: what the server itself can answer without latency; far above C / 2 s, or the run is void.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import io
import json
import math
import multiprocessing
import os
import random
import time
import urllib.request
from collections import deque
from dataclasses import dataclass

LATENCY_S = 2.0
MODEL = "benchmark"
ANSWER = {"en_long": "A red sign over a door. " * 20, "zh_long": "门上有一块红色的招牌。" * 20}


class Connection(asyncio.Protocol):
    """HTTP by hand, since a framework's server would cost more than the client under test."""

    def __init__(self, server: Server):
        self.server, self.buffer, self.need = server, bytearray(), 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.need:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            self.get = head.startswith(b"get ")
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.need = end + 4 + int(length or 0)
        if len(self.buffer) >= self.need:
            self.buffer, self.need = bytearray(), 0
            self.server.arrived(self)

    def send(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (
            status,
            len(body),
        )
        if not self.transport.is_closing():
            self.transport.write(head + body)


class Server:
    """Takes `capacity` requests at once, each for `latency_s` on average, lognormal with sigma `spread`."""

    def __init__(self, capacity: int, latency_s: float, refuses: bool, spread: float):
        self.capacity, self.latency_s, self.refuses, self.spread = capacity, latency_s, refuses, spread
        self.luck = random.Random(1)
        self.busy, self.queue, self.refused, self.most_waiting = 0, deque(), 0, 0
        self.began = self.changed = self.busy_s = 0.0  # busy_s: integral of `busy` over time
        self.settled = self.last = (
            0.0,
            0.0,
        )  # (time, busy_s) at the 5th latency and at the last request taken
        message = {"role": "assistant", "content": json.dumps(ANSWER, ensure_ascii=False)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1500, "completion_tokens": 300, "total_tokens": 1800}
        self.answer = json.dumps({"model": MODEL, "choices": [choice], "usage": usage}).encode()

    def arrived(self, connection: Connection) -> None:
        if connection.get:
            connection.send(b"200 OK", json.dumps(self.shares()).encode())
        elif self.busy < self.capacity:
            self.work(connection)
        elif self.refuses:
            self.refused += 1
            connection.send(b"429 Too Many Requests", b'{"error": {"message": "too many requests"}}')
        else:
            self.queue.append(connection)
            self.most_waiting = max(self.most_waiting, len(self.queue))

    def change(self, by: int) -> None:
        now = time.monotonic()
        if not self.began:
            self.began = self.changed = now
        self.busy_s += self.busy * (now - self.changed)
        self.changed = now
        self.busy += by
        if not self.settled[0] and now > self.began + 5 * self.latency_s:
            self.settled = now, self.busy_s

    def shares(self) -> dict[str, float]:
        """Busy share of the capacity until the last request was taken."""
        (at_s, busy_s), (end_s, end_busy_s) = self.settled, self.last
        return {
            "share": end_busy_s / max(1e-9, end_s - self.began) / self.capacity,
            "settled": (end_busy_s - busy_s) / max(1e-9, end_s - at_s) / self.capacity,
            "refused": self.refused,
            "most_waiting": self.most_waiting,
        }

    def work(self, connection: Connection) -> None:
        self.change(+1)
        self.last = self.changed, self.busy_s
        if self.latency_s:
            factor = self.luck.lognormvariate(-(self.spread**2) / 2, self.spread)
            asyncio.get_running_loop().call_later(self.latency_s * factor, self.done, connection)
        else:
            self.done(connection)

    def done(self, connection: Connection) -> None:
        self.change(-1)
        connection.send(b"200 OK", self.answer)
        if self.queue:
            self.work(self.queue.popleft())


def serve(capacity: int, latency_s: float, refuses: bool, spread: float, port: multiprocessing.Queue) -> None:
    async def run() -> None:
        server = Server(capacity, latency_s, refuses, spread)
        listening = await asyncio.get_running_loop().create_server(
            lambda: Connection(server), "127.0.0.1", 0, backlog=4096
        )
        port.put(listening.sockets[0].getsockname()[1])
        await listening.serve_forever()

    asyncio.run(run())


class Process:
    """A server in a process of its own, while the `with` block lasts."""

    def __init__(
        self, capacity: int, latency_s: float = LATENCY_S, refuses: bool = True, spread: float = 0.0
    ):
        context = multiprocessing.get_context("spawn")
        self.port = context.Queue()
        self.process = context.Process(
            target=serve, args=(capacity, latency_s, refuses, spread, self.port), daemon=True
        )

    def __enter__(self) -> str:
        self.process.start()
        return f"http://127.0.0.1:{self.port.get(timeout=60)}/v1#{MODEL}"

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.join()


def jpeg(width_px: int, height_px: int, seed: int = 0) -> bytes:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (height_px // 16, width_px // 16, 3), dtype=np.uint8))
    out = io.BytesIO()
    coarse.resize((width_px, height_px), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


@dataclass
class Run:
    """Times of answers in seconds from the first request; CPU seconds and resident bytes of the client."""

    ends: list[float]
    cpu_s: float
    rss_bytes: list[int]
    attempts: int
    limit: int


def rss_bytes() -> int:
    import psutil

    return psutil.Process().memory_info().rss


async def drive(argument: str, requests: int, tasks: int, images: int = 16, seconds: float = math.inf) -> Run:
    """As many `ask`s as the client wants, each with a picture and a schema; all end after `seconds`."""
    from zcurate.captioner.chat import ChatRequest, ImagePart, Sampling
    from zcurate.captioner.vlm.openai_chat import OpenAiChat

    chat = OpenAiChat(argument)
    chat.load()
    pictures = [ImagePart(jpeg(768, 512, seed)) for seed in range(images)]
    for picture in pictures:  # preparation is a figure of its own
        await chat._image_url(picture, 1.0)
    schema = {
        "type": "object",
        "properties": {k: {"type": "string"} for k in ANSWER},
        "required": list(ANSWER),
    }
    numbers = iter(range(requests))
    ends: list[float] = []
    memory: list[int] = []
    attempts = 0

    async def worker() -> None:
        nonlocal attempts
        for number in numbers:
            text = f"Describe the picture. {number} " + "Metadata follows. " * 40
            request = ChatRequest(
                "You write captions.",
                (pictures[number % images], text),
                schema,
                sampling=Sampling(seed=number),
            )
            answer = await chat.ask(request)
            attempts += answer.attempts
            ends.append(time.monotonic() - began)
            if number % max(1, requests // 20) == 0:
                memory.append(rss_bytes())

    gc.collect()
    began, cpu = time.monotonic(), time.process_time()
    workers = [asyncio.create_task(worker()) for _ in range(min(tasks, requests))]
    await asyncio.wait(workers, timeout=seconds if math.isfinite(seconds) else None)
    for task in workers:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=math.isfinite(seconds))
    cpu = time.process_time() - cpu
    limit = chat.pace.limit
    await chat.close()
    return Run(ends, cpu, memory, attempts, limit)


def shares(argument: str) -> dict[str, float]:
    with urllib.request.urlopen(argument.partition("#")[0], timeout=10) as answer:
        return json.load(answer)


def capacity_share(capacity: int, rounds: int, refuses: bool, spread: float = 0.0) -> dict[str, float]:
    requests = capacity * rounds
    with Process(capacity, refuses=refuses, spread=spread) as argument:
        run = asyncio.run(drive(argument, requests, tasks=1024))
        out = shares(argument)
    out |= {
        "ms": 1000 * run.cpu_s / requests,
        "attempts": run.attempts / requests,
        "limit": run.limit,
    }
    mode = "429" if refuses else "queue"
    mode += " uneven" if spread else ""
    print(
        f"C = {capacity:3d} ({mode}) {requests:6,} requests: {out['share']:.1%} of capacity, settled "
        f"{out['settled']:.1%}; {out['ms']:.2f} ms CPU per request; {out['attempts']:.2f} attempts per answer; "
        f"limit at the end {out['limit']}, longest queue {out['most_waiting']}",
        flush=True,
    )
    return out


def server_ceiling() -> float:
    """Answers per second of the server without latency, asked by the client itself."""
    with Process(4096, latency_s=0.0) as argument:
        run = asyncio.run(drive(argument, 2000, tasks=64))
    return len(run.ends) / run.ends[-1]


def image_ms(repeats: int) -> float:
    from zcurate.captioner.vlm.images import data_url, fit

    data = jpeg(1920, 1280)
    began = time.process_time()
    for _ in range(repeats):
        data_url(*fit(data, 1280))
    return 1000 * (time.process_time() - began) / repeats


def flat_memory(requests: int) -> dict[str, float]:
    """Resident memory over many requests at a server with little latency."""
    with Process(256, latency_s=0.02) as argument:
        run = asyncio.run(drive(argument, requests, tasks=1024, images=64))
    warm, end = run.rss_bytes[len(run.rss_bytes) // 2], run.rss_bytes[-1]
    growth = (end - warm) / (1 << 20)
    print(
        f"memory over {requests:,} requests: {warm / (1 << 20):.0f} MiB half way, {end / (1 << 20):.0f} MiB at "
        f"the end ({growth:+.1f} MiB); {1000 * run.cpu_s / requests:.2f} ms CPU per request",
        flush=True,
    )
    return {"growth_mib": growth, "ms": 1000 * run.cpu_s / requests}


def ray_share(capacity: int, rounds: int) -> dict[str, float]:
    """Two Ray workers that share one server; both find out their part of it."""
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="warning", log_to_driver=False)
    folder = os.path.dirname(os.path.abspath(__file__))

    @ray.remote(num_cpus=1, runtime_env={"env_vars": {"PYTHONPATH": folder}})
    class Worker:
        def ready(self) -> int:
            return len(importlib.import_module("zcurate.captioner.vlm.openai_chat").SCALES)

        def run(self, argument: str, requests: int, seconds: float) -> tuple[float, float, int]:
            import caption_client

            run = asyncio.run(caption_client.drive(argument, requests, 1024, 16, seconds))
            fifth = run.rss_bytes[len(run.rss_bytes) // 5]
            return run.cpu_s, (run.rss_bytes[-1] - fifth) / (1 << 20), len(run.ends)

    try:
        workers = [Worker.remote() for _ in range(2)]
        ray.get([w.ready.remote() for w in workers])
        with Process(capacity) as argument:
            requests = 2 * capacity * rounds  # more than there is time for
            results = ray.get([w.run.remote(argument, requests, rounds * LATENCY_S) for w in workers])
            got = shares(argument)
    finally:
        ray.shutdown()
    share = got["settled"]
    ms = 1000 * sum(r[0] for r in results) / sum(r[2] for r in results)
    growth = max(r[1] for r in results)
    print(
        f"Ray, 2 workers, C = {capacity}: {share:.1%} of capacity ({[r[2] for r in results]} answers); {ms:.2f} ms CPU per request; "
        f"memory {growth:+.1f} MiB",
        flush=True,
    )
    return {"share": share, "ms": ms, "growth_mib": growth}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="C = 64 alone, 8 rounds, 3,000 requests for memory"
    )
    parser.add_argument("--rounds", type=int, default=30, help="latencies per measurement (30 = 1 minute)")
    parser.add_argument("--capacities", type=int, nargs="*", default=[8, 64, 256])
    parser.add_argument("--requests", type=int, default=20_000, help="requests of the memory run")
    parser.add_argument("--no-ray", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.capacities, args.requests, args.no_ray = 8, [64], 3000, True
    load = os.getloadavg()[0]
    result: dict[str, float] = {
        "load_before": round(load, 2),
        "server_ceiling_per_s": round(server_ceiling(), 1),
    }
    print(
        f"server alone: {result['server_ceiling_per_s']:,.0f} answers/s; load average {load:.1f}", flush=True
    )
    result["image_ms"] = round(image_ms(10), 2)
    print(f"picture of 1920 x 1280 px into its budget: {result['image_ms']} ms CPU", flush=True)
    times = []
    for capacity in args.capacities:
        for refuses in (True, False):
            got = capacity_share(capacity, args.rounds, refuses)
            mode = "" if refuses else "_queue"
            result[f"capacity_share_{capacity}{mode}"] = round(got["share"], 4)
            result[f"settled_share_{capacity}{mode}"] = round(got["settled"], 4)
            times.append(got["ms"])
    for refuses in () if args.quick else (True, False):
        got = capacity_share(64, args.rounds, refuses, spread=0.6)
        result[f"uneven_share_64{'' if refuses else '_queue'}"] = round(got["share"], 4)
    result["client_ms_per_request"] = round(max(times), 3)
    memory = flat_memory(args.requests)
    result["memory_growth_mib"] = round(memory["growth_mib"], 2)
    if not args.no_ray:
        got = ray_share(64, args.rounds)
        result |= {"ray_share_64": round(got["share"], 4), "ray_ms_per_request": round(got["ms"], 3)}
        result["ray_memory_growth_mib"] = round(got["growth_mib"], 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

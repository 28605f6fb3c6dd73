"""`zcurate serve` under 200 requests at once, against the bare model in the same run.

    python benchmarks/serve_load.py                        # tiny preset, 512*512, 200 requests at once
    python benchmarks/serve_load.py --quick                # the same with pictures of a quarter of the tokens, < 1 min
    python benchmarks/serve_load.py --model s3dit:DIR --size 1024*1024 --requests 200 --batch 4

The server runs in its own process on 127.0.0.1; every request has a connection of its own, all are sent at the same
moment, none is tried again, and every picture is fetched and decoded. The bare model draws some of the same requests in
this process, before and after, with the same batch and threads.

- `lost`: requests without a picture. `wrong`: pictures that differ from the bare model's of the same request by more
  than 2 of 255 anywhere (batches differ, so rounding does), of the `compared`.
- `p50_s`, `p95_s`: from sending to the decoded picture; with all sent at once that is mostly the queue.
- `served_per_s`; `bare_per_s`: the model alone; `engine_per_s`: with what the server must do as well, enlarging and
  writing PNG. `ratio_bare`, `ratio_engine`: served over each. The clients' work runs on the same cores.
- `pictures_per_run`: mean of what one run of the model drew together.
- `rss_before_mb`, `peak_rss_mb`: of the server, after its first picture and at the highest.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import mean, quantiles

import numpy as np

STARTUP_S, DEADLINE_S = 300.0, 1800.0


@contextmanager
def server(model: str, batch: int, requests: int):
    """(URL, process id) of a server that is ready."""
    command = [sys.executable, "-c", "from zcurate.pipelines.cli import main; main()", "serve", "--port", "0"]
    command += ["--model", model, "--served-name", "m", "--max-batch", str(batch)]
    command += ["--max-queue", str(requests), "--deadline", str(DEADLINE_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process.stdout.readline().split()[-1], process.pid
        finally:
            process.terminate()
            process.wait(60)


def client_of(url: str):
    from zcurate.model.api.credentials import endpoint_of
    from zcurate.model.api.dashscope import ImageClient, Patience

    patience = Patience(attempts=1, connect_s=60.0, read_s=DEADLINE_S, download_s=300.0)
    return ImageClient(endpoint_of(url, "beijing"), None, "m", patience)


def load(url: str, asked: list) -> tuple[list[float], list[np.ndarray | None], float]:
    """Latency (s) and pixels of each request, None where it was lost; and the seconds of all."""
    from zcurate.model.errors import ModelError

    together = threading.Barrier(len(asked) + 1)
    seconds, pictures = [0.0] * len(asked), [None] * len(asked)
    with client_of(url) as client, ThreadPoolExecutor(len(asked)) as pool:

        def one(i: int) -> None:
            together.wait()
            started = time.perf_counter()
            try:
                done = client.generate(asked[i])
            except (ModelError, OSError) as e:
                print(f"lost {i}: {type(e).__name__}: {e}", file=sys.stderr)
                return
            seconds[i] = time.perf_counter() - started
            pictures[i] = pixels(done.picture.data)

        futures = [pool.submit(one, i) for i in range(len(asked))]
        together.wait()
        started = time.perf_counter()
        for future in futures:
            future.result()
        return seconds, pictures, time.perf_counter() - started


def pixels(png: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def bare(engine, orders: list, batch: int) -> tuple[float, float, list[np.ndarray]]:
    """Pictures per second of the model alone and of the engine, and the engine's pictures."""
    cut = [orders[i : i + batch] for i in range(0, len(orders), batch)]
    started = time.perf_counter()
    for some in cut:
        list(engine._generator.generate([engine._request(o) for o in some], batch=batch))
    model_s = time.perf_counter() - started
    started = time.perf_counter()
    made = [m.encode() for some in cut for m in engine.generate(some)]
    engine_s = time.perf_counter() - started
    return len(orders) / model_s, len(orders) / engine_s, [pixels(png) for png in made]


def memory_mb(pid: int, name: str) -> float:
    with open(f"/proc/{pid}/status") as file:
        return round(int(re.search(rf"{name}:\s+(\d+) kB", file.read())[1]) / 1024, 1)


def pictures_per_run(url: str) -> float:
    import httpx

    text = httpx.get(f"{url}/metrics").text
    found = dict(re.findall(r"^zcurate_batch_pictures_(sum|count) (\S+)$", text, re.M))
    return float(found["sum"]) / float(found["count"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", default="s3dit:tiny", help="s3dit:DIR; default: the untrained tiny preset")
    parser.add_argument("--requests", type=int, default=200, help="at once, up to 1000")
    parser.add_argument("--size", default=None, help="W*H px; default 512*512, with --quick 1024*256")
    parser.add_argument("--batch", type=int, default=4, help="pictures drawn together")
    parser.add_argument(
        "--compared",
        type=int,
        default=None,
        help="requests the bare model draws too; default 24, with --quick 12",
    )
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not 1 <= options.requests <= 1000:
        parser.error("--requests: 1 to 1000")

    from zcurate.model.api.engine import Order
    from zcurate.model.api.request import ImageRequest
    from zcurate.pipelines.serving import engine_of

    size = options.size or ("1024*256" if options.quick else "512*512")
    asked = [ImageRequest(f"picture {i} of a test", size, seed=i) for i in range(options.requests)]
    compared = min(options.compared or (12 if options.quick else 24), options.requests)
    orders = [Order(r.prompt, r.width, r.height, r.seed) for r in asked[:compared]]
    engine = engine_of(options.model)
    engine.generate(orders[:1])
    before = bare(engine, orders, options.batch)
    with server(options.model, options.batch, options.requests) as (url, pid):
        load(url, asked[:1])
        rss_before_mb = memory_mb(pid, "VmRSS")
        seconds, pictures, took = load(url, asked)
        peak_rss_mb, together = memory_mb(pid, "VmHWM"), pictures_per_run(url)
    after = bare(engine, orders, options.batch)

    served = [s for s, p in zip(seconds, pictures, strict=True) if p is not None]
    wrong = sum(
        p is not None and np.abs(p.astype(int) - b.astype(int)).max() > 2
        for p, b in zip(pictures, before[2], strict=False)
    )
    cuts = quantiles(served, n=20, method="inclusive") if len(served) > 1 else [float("nan")] * 19
    rate, bare_rate, engine_rate = (
        len(served) / took,
        mean((before[0], after[0])),
        mean((before[1], after[1])),
    )
    result = {
        "requests": options.requests,
        "lost": options.requests - len(served),
        "wrong": int(wrong),
        "compared": compared,
        "p50_s": round(cuts[9], 2),
        "p95_s": round(cuts[18], 2),
        "served_per_s": round(rate, 3),
        "bare_per_s": round(bare_rate, 3),
        "engine_per_s": round(engine_rate, 3),
        "ratio_bare": round(rate / bare_rate, 3),
        "ratio_engine": round(rate / engine_rate, 3),
        "pictures_per_run": round(together, 2),
        "rss_before_mb": rss_before_mb,
        "peak_rss_mb": peak_rss_mb,
        "model": options.model,
        "size": size,
        "batch": options.batch,
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "cores": len(os.sched_getaffinity(0)),
    }
    for name, value in result.items():
        print(f"{name:>18}  {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Run `zcurate build` as a job of a running Ray cluster and end with the build's own exit code.

    python submit.py --address http://HEAD:8265 photos --set source=s3://bucket/images --set out=s3://bucket/ds

Does what `ray job submit -- zcurate build ...` does; that command knows only success (0) and
failure (1), so that a build with a few unreadable files (3) looks failed. Needs `ray[default]`.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys

from ray.job_submission import JobSubmissionClient


async def follow(client: JobSubmissionClient, job: str) -> None:
    async for text in client.tail_job_logs(job):
        print(text, end="", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Run 'zcurate build' on a Ray cluster.",
        epilog="Everything else goes to 'zcurate build': the recipe first, then its options.",
    )
    parser.add_argument("--address", help="job server, http://HEAD:8265; default: RAY_API_SERVER_ADDRESS")
    parser.add_argument("--working-dir", help="folder that is copied to the cluster (recipe, stage modules)")
    options, build = parser.parse_known_args()
    if not build:
        parser.error("give a recipe, and options of 'zcurate build' behind it")
    client = JobSubmissionClient(options.address)
    environment = {"working_dir": options.working_dir} if options.working_dir else {}
    job = client.submit_job(entrypoint=shlex.join(["zcurate", "build", *build]), runtime_env=environment)
    print(f"job {job}; stop it with: ray job stop {job}", file=sys.stderr)
    try:
        asyncio.run(follow(client, job))
    except KeyboardInterrupt:
        print(f"no longer following; job {job} goes on", file=sys.stderr)
        return 130
    info = client.get_job_info(job)
    if info.driver_exit_code is None:
        print(f"job {job} {info.status}: {info.message}", file=sys.stderr)
        return 1
    return info.driver_exit_code


if __name__ == "__main__":
    sys.exit(main())

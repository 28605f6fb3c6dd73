"""Thread counts of every numeric library, set in one place: results and rates depend on them."""

from __future__ import annotations

import os
import sys

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "ORT_NUM_THREADS",
)


def thread_environment(cpus: float) -> dict[str, str]:
    """Environment of a worker with that many CPUs."""
    n = str(max(1, int(cpus)))
    return {
        **dict.fromkeys(_VARIABLES, n),
        "RAYON_NUM_THREADS": n,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONHASHSEED": "0",
    }


def limit_threads(cpus: float) -> None:
    """Apply to this process: the environment, and libraries that are already loaded."""
    os.environ.update(thread_environment(cpus))
    n = max(1, int(cpus))
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(n)
    if "cv2" in sys.modules:
        import cv2

        cv2.setNumThreads(n)
    if "faiss" in sys.modules:
        import faiss

        faiss.omp_set_num_threads(n)
    import pyarrow as pa

    pa.set_cpu_count(n)
    pa.set_io_thread_count(max(2, n))

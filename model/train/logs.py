"""What a run writes about itself: one JSON object per step, TensorBoard where it is installed."""

from __future__ import annotations

import json
import math
import statistics
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from .errors import TrainingHaltedError

FILE = "log.jsonl"


class Logs:
    """FOLDER/log.jsonl and FOLDER/tensorboard, written by rank 0; other ranks make one with folder None."""

    def __init__(self, folder: Path | None, tensorboard: bool = False) -> None:
        self._file = self._board = None
        #: What is not written, and why; empty where all is.
        self.missing = ""
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / FILE).open("a", encoding="utf-8")
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                self.missing = "no TensorBoard log, which needs `pip install tensorboard`"
                self.write({"event": "no_tensorboard", "fix": "pip install tensorboard"})
                return
            self._board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, record: dict) -> None:
        """A step's record holds `step`; others hold `event`. Numbers that are not finite become null."""
        if self._file is None:
            return
        self._file.write(json.dumps(_finite(record)) + "\n")
        self._file.flush()
        if self._board is not None and "step" in record:
            for name, value in record.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(name, value, record["step"])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()
        self._file = self._board = None


def _finite(value):
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(folder: Path) -> list[dict]:
    """Records of a run, oldest first; after a resumed run, a step may be there twice. A cut last line is left out."""
    records = []
    for line in (folder / FILE).read_text("utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


class Guard:
    """Stops a run before an update with a loss or gradient that is not finite, or a loss that jumped.

    A jump is a loss above `factor` times the median of the last `window` ones of the same network, once
    `least` are known. factor 0: no jumps are looked for.
    """

    def __init__(self, factor: float = 5.0, window: int = 64, least: int = 16) -> None:
        self.factor, self.window, self.least = factor, window, least
        self.seen: dict[str, deque[float]] = {}

    def remember(self, what: str, losses: Iterable[float]) -> None:
        """Losses of network `what` that passed, oldest first."""
        self.seen.setdefault(what, deque(maxlen=self.window)).extend(losses)

    def check(self, step: int, what: str, loss: float, norm: float, worst: list[tuple[float, str]]) -> None:
        """worst: (loss, id) of this rank's samples. Raises TrainingHaltedError."""
        reason, seen = None, self.seen.get(what, ())
        if not (math.isfinite(loss) and math.isfinite(norm)):
            reason = f"loss {loss:.4g}, gradient norm {norm:.4g}: not finite"
        elif self.factor and len(seen) >= self.least:
            median = statistics.median(seen)
            if loss > self.factor * median:
                reason = f"loss {loss:.4g} is {loss / median:.1f} times the recent median {median:.4g}"
        if reason is None:
            self.remember(what, [loss])
            return
        # Not finite first, then by loss.
        order = sorted(worst, key=lambda pair: (math.isfinite(pair[0]), -pair[0]))
        faulty = [pair for pair in order if not math.isfinite(pair[0])]
        ids = tuple(id_ for _, id_ in (faulty or order))
        listed = ", ".join(f"{id_} ({loss:.4g})" for loss, id_ in order[:8])
        more = f" and {len(order) - 8} more" if len(order) > 8 else ""
        raise TrainingHaltedError(
            f"step {step}, {what}: {reason}. Nothing was updated. Samples of this rank, worst first: {listed}{more}. "
            "Look at them, take out what is wrong, and start again: the run goes on from its last checkpoint",
            ids,
        )

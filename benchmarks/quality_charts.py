"""How often clean charts and pages of text are taken for degraded pictures.

Drawn by matplotlib in all of its styles: by code that shares nothing with the drawings of the training, which had its
font, DejaVu, among others.

    python benchmarks/quality_charts.py [--charts 30] [--out DIR]

Prints, for each kind, the share of pictures that any score flags at its default threshold, and which. Ends with one line
of JSON.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from PIL import Image
from quality_accuracy import as_jpeg

from zcurate.curation.profile.quality.model import DEFAULT_THRESHOLD, load_quality
from zcurate.curation.profile.shrink import shrink

Rng = np.random.Generator
WORDS = "revenue model year layer dose growth mean of the and in by loss rate 2019 2024 region flow total per cent".split()


def words(count: int, rng: Rng) -> str:
    return " ".join(rng.choice(WORDS, count))


def curves(axes: plt.Axes, rng: Rng) -> None:
    x = np.linspace(0, 10, 200)
    for k in range(rng.integers(1, 6)):
        y = np.sin(x * rng.uniform(0.2, 3)) + 0.1 * np.cumsum(rng.normal(size=200))
        axes.plot(x, y, label=words(2, rng), lw=rng.uniform(0.5, 3), ls=["-", "--", ":"][k % 3])
    axes.legend()


def bars(axes: plt.Axes, rng: Rng) -> None:
    n = int(rng.integers(3, 12))
    axes.bar(range(n), rng.uniform(1, 9, n), yerr=rng.uniform(0, 1, n))
    axes.set_xticks(range(n), [words(1, rng) for _ in range(n)], rotation=45)


def points(axes: plt.Axes, rng: Rng) -> None:
    xy = rng.normal(size=(2, 150))
    axes.scatter(*xy, c=xy[0], s=rng.uniform(5, 80), alpha=0.7)


def pie(axes: plt.Axes, rng: Rng) -> None:
    n = int(rng.integers(2, 8))
    axes.pie(rng.uniform(1, 5, n), labels=[words(1, rng) for _ in range(n)])


def matrix(axes: plt.Axes, rng: Rng) -> None:
    side = int(rng.integers(3, 14))
    axes.imshow(
        rng.normal(size=(side, side)),
        cmap=str(rng.choice(["viridis", "RdBu", "Blues", "gray"])),
        interpolation="nearest",
    )


def text(axes: plt.Axes, rng: Rng) -> None:
    axes.axis("off")
    size, lines = rng.uniform(7, 15), int(rng.integers(6, 24))
    body = "\n".join(words(int(rng.integers(4, 14)), rng) for _ in range(lines))
    axes.text(0, 1, body, size=size, va="top", family=str(rng.choice(["serif", "sans-serif", "monospace"])))


KINDS: tuple[Callable[[plt.Axes, Rng], None], ...] = (curves, bars, points, pie, matrix, text)


def drawn(kind: Callable[[plt.Axes, Rng], None], rng: Rng) -> Image.Image:
    styles = [s for s in plt.style.available if not s.startswith("_")]
    with plt.style.context(str(rng.choice(styles))):
        figure = plt.figure(figsize=tuple(rng.uniform(4, 9, 2)), dpi=rng.uniform(70, 160))
        axes = figure.add_subplot()
        kind(axes, rng)
        axes.set_title(words(3, rng))
        if rng.random() < 0.6:
            axes.set_xlabel(words(2, rng))
            axes.set_ylabel(words(2, rng))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        plt.close(figure)
    image = Image.open(buffer).convert("RGB")
    return as_jpeg(image, 92) if rng.random() < 0.5 else image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--charts", type=int, default=30, help="pictures of each kind")
    parser.add_argument("--weights", type=Path, default=None, help="default: the bundled ones")
    parser.add_argument("--out", type=Path, default=None, help="folder to keep the pictures in")
    args = parser.parse_args()
    mpl.use("Agg")
    model = load_quality(args.weights) if args.weights else load_quality()
    rng = np.random.default_rng(11)
    result = {}
    for kind in KINDS:
        flagged: list[set[str]] = []
        for k in range(args.charts):
            image = drawn(kind, rng)
            if args.out:
                args.out.mkdir(parents=True, exist_ok=True)
                image.save(args.out / f"{kind.__name__}_{k:03d}.png")
            rgb = np.asarray(image)
            scores = model.scores(rgb, shrink(rgb, 336))
            flagged.append({name for name, value in scores.items() if value > DEFAULT_THRESHOLD})
        share = float(np.mean([bool(f) for f in flagged]))
        names = {
            n: round(float(np.mean([n in f for f in flagged])), 3) for n in sorted(set().union(*flagged))
        }
        result[kind.__name__] = round(share, 3)
        print(f"{kind.__name__:8s}{share:6.1%} flagged {names}", flush=True)
    result["all"] = round(float(np.mean(list(result.values()))), 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

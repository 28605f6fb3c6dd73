"""`zcurate review-export --format conversations`: what people accepted and corrected, as training conversations.

The captions stage's own settings make the questions, so that a captioner is trained on what it will be asked. Train and
held-out are split by picture, by a hash of its bytes: everything about a picture lies on one side, whenever it is exported.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from zcurate.captioner import packs
from zcurate.captioner.chat import ImagePart
from zcurate.captioner.training.conversations import (
    FORMAT,
    HELD_OUT,
    IMAGES,
    MANIFEST,
    SPLITS,
    TRAIN,
    Conversation,
    ImagePath,
    digest_of,
)
from zcurate.captioner.vlm.images import fit
from zcurate.captioner.vlm.transformers_chat import system_text
from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.exporting import decided
from zcurate.curation.active.review.states import ACCEPTED, CORRECTED
from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.store import Dataset

from .caption_conversations import caption_lessons
from .lessons import Asking, Lesson
from .pair_conversations import pair_lessons
from .view import open_view

#: Judgments that may be weighed: a person's acceptance, a correction, an acceptance that rests on the AI verifier alone.
WEIGHED = (ACCEPTED, CORRECTED, "ai")


@dataclass(frozen=True)
class ConversationOptions:
    """Attributes:
    family: prompts for which model family (`packs.FAMILIES`); None: those that the captions stage uses.
    held_out: share of pictures kept from training, 0..1.
    seed: of the split; another one makes another split.
    weights: of WEIGHED -> weight of the loss; 0 leaves these out. 1 where none is given.
    """

    family: str | None = None
    held_out: float = 0.1
    seed: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ConfigError naming the option."""
        if self.family is not None and self.family not in packs.FAMILIES:
            raise ConfigError(f"--family {self.family!r}: choose {', '.join(packs.FAMILIES)}")
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"--held-out {self.held_out}: must be a share from 0 to below 1")
        for name, value in self.weights.items():
            if name not in WEIGHED or not 0 <= value < float("inf"):
                raise ConfigError(
                    f"--weight {name}={value}: write one of {', '.join(WEIGHED)} and a number from 0"
                )


def weights_of(texts: Sequence[str]) -> dict[str, float]:
    """`NAME=NUMBER` of a command line. Raises ConfigError."""
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError as e:
            raise ConfigError(f"--weight {text!r}: write e.g. corrected=2") from e
    return found


def split_of(content_ids: Sequence[str], options: ConversationOptions) -> str | None:
    """The side on which conversations about these pictures lie; None for pictures of both sides together."""
    sides = set()
    for content_id in content_ids:
        key = f"zcurate.conversations|{options.seed}|{content_id}".encode()
        drawn = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64
        sides.add(HELD_OUT if drawn < options.held_out else TRAIN)
    return sides.pop() if len(sides) == 1 else None


def export_conversations(url: str, log: ReviewLog, out: Path, options: ConversationOptions) -> dict[str, int]:
    """Write a folder of conversations; file -> lines.

    Raises:
        ConfigError: a wrong option. DatasetError: nothing that was accepted or corrected can be learned from, or `out`
            holds something else.
    """
    settled = {
        key: (task, state)
        for key, (task, state) in decided(log).items()
        if state.outcome in (ACCEPTED, CORRECTED)
    }
    view = None if "parent" in Dataset.open(url).facts else open_view(url)
    asking = Asking.of(view, options.family)
    with _replacing(out) as folder:
        book = _Book(folder, options, asking.image_tokens)
        if view is not None and view.has("captions"):
            for lesson in caption_lessons(view, asking, settled):
                book.add(lesson)
        for lesson in pair_lessons(url, asking, settled):
            book.add(lesson)
        if not book.total:
            why = (
                ", ".join(f"{reason} ({n})" for reason, n in sorted(book.left_out.items()))
                or "nothing decided"
            )
            raise DatasetError(
                f"{url}: no reviewed caption or pair to learn from: {why}; 'zcurate review {url}' decides on some"
            )
        book.finish(asking, url)
    return {f"{split}.jsonl": sum(book.counts[split].values()) for split in SPLITS}


class _Book:
    """Writes conversations and pictures as they come."""

    def __init__(self, folder: Path, options: ConversationOptions, image_tokens: int):
        self._folder, self._options, self._tokens = folder, options, image_tokens
        (folder / IMAGES).mkdir()
        for split in SPLITS:
            (folder / f"{split}.jsonl").touch()
        self.counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        self.pictures: dict[str, set[str]] = {split: set() for split in SPLITS}
        self.left_out: Counter[str] = Counter()
        self._fitted: dict[str, str] = {}
        self._written: set[str] = set()

    @property
    def total(self) -> int:
        return sum(sum(c.values()) for c in self.counts.values())

    def add(self, lesson: Lesson) -> None:
        self.left_out.update(lesson.left_out)
        if not lesson.taught or lesson.task is None or lesson.state is None:
            return
        people = list(lesson.state.by)
        judged = lesson.state.outcome if people else "ai"
        weight = self._options.weights.get(judged, 1.0)
        split = split_of(lesson.content_ids, self._options)
        if split is None or weight == 0:
            self.left_out["weight 0" if split else "pictures on both sides of the split"] += 1
            return
        provenance = {
            "sample_ids": list(lesson.sample_ids),
            "content_ids": list(lesson.content_ids),
            "task_id": lesson.task.id,
            "subject": lesson.task.subject,
            "outcome": lesson.state.outcome,
            "judged_by": "people" if people else "ai",
            "reviewers": people,
            "proposer": lesson.task.proposer,
        }
        with (self._folder / f"{split}.jsonl").open("a", encoding="utf-8") as lines:
            for taught in lesson.taught:
                parts = (p if isinstance(p, str) else self._picture(p) for p in taught.request.parts)
                talk = Conversation(
                    taught.task, system_text(taught.request), tuple(parts), taught.answer,
                    split, weight, taught.no_loss, provenance,
                )  # fmt: skip
                if talk.id in self._written:  # of a copy of the picture
                    self.left_out[f"{talk.task}: the same again"] += 1
                    continue
                self._written.add(talk.id)
                lines.write(talk.to_line() + "\n")
                self.counts[split][talk.task] += 1
        self.pictures[split].update(lesson.content_ids)

    def _picture(self, part: ImagePart) -> ImagePath:
        """The picture as the captioner's model is shown it: the same bytes come out of the engine's own fitting."""
        if part.digest not in self._fitted:
            data, mime = fit(part.data, self._tokens)
            name = (
                f"{IMAGES}/{hashlib.sha256(data).hexdigest()}.{mime.partition('/')[2].replace('jpeg', 'jpg')}"
            )
            (self._folder / name).write_bytes(data)
            self._fitted[part.digest] = name
        return ImagePath(self._fitted[part.digest])

    def finish(self, asking: Asking, url: str) -> None:
        captioner = asking.captioner
        manifest = {
            "format": FORMAT,
            "dataset": Path(url.rstrip("/")).name,
            "family": captioner.family,
            "pack": captioner.pack,
            "prompt_sha": captioner.prompt_sha,
            "image_tokens": self._tokens,
            "held_out_share": self._options.held_out,
            "seed": self._options.seed,
            "weights": {name: self._options.weights.get(name, 1.0) for name in WEIGHED},
            "conversations": {split: dict(sorted(c.items())) for split, c in self.counts.items()},
            "pictures": {split: len(found) for split, found in self.pictures.items()},
            "left_out": dict(sorted(self.left_out.items())),
            "digest": digest_of(self._folder),
        }
        text = json.dumps(manifest, ensure_ascii=False, indent=1)
        (self._folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A folder that takes the place of `out` when all went well. Raises DatasetError: `out` holds something else."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DatasetError(f"{out} is not a plain folder; choose another --out")
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise DatasetError(f"{out} is not empty and holds no conversations; choose another --out")
    work, old = (out.with_name(f".{out.name}.{what}") for what in ("partial", "replaced"))
    for leftover in (work, old):
        shutil.rmtree(leftover, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
        if out.exists():
            out.rename(old)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)

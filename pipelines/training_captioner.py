"""`zcurate train-captioner`: conversations of a review and a local model to a LoRA adapter with a version and scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zcurate.captioner import packs
from zcurate.captioner.chat import ChatError
from zcurate.captioner.training.conversations import (
    HELD_OUT,
    MANIFEST,
    TRAIN,
    Conversation,
    ConversationError,
    digest_of,
    read_split,
    shared_images,
)
from zcurate.captioner.training.fitting import FitSettings, TrainingError
from zcurate.captioner.vlm.adapters import Adapter, AdapterError, read_adapter, split_adapter
from zcurate.captioner.vlm.address import AddressError
from zcurate.curation.errors import ConfigError, MissingDependencyError

from . import registry


@dataclass(frozen=True)
class CaptionerTraining:
    """What `zcurate train-captioner` was asked for.

    Attributes:
        conversations: folder of `review-export --format conversations`.
        model: `transformers:MODEL`, or with `+ADAPTER` to go on from an adapter.
        out: folder of the new adapter; must not exist.
        previous: adapter whose version is counted on from, without its weights.
        max_tokens: longer conversations are passed over.
        answers: written per task to be compared, before and after. device: "cuda", "cpu", or None for a GPU if any.
    """

    conversations: Path
    model: str
    out: Path
    previous: Path | None = None
    fit: FitSettings = field(default_factory=FitSettings)
    max_tokens: int = 8192
    answers: int = 16
    device: str | None = None


def train_captioner(
    asked: CaptionerTraining, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Train, score before and after, write the adapter; what `adapter.json` holds, `scores`, `out` and `warnings`.

    Raises:
        ConfigError: a wrong option, model, adapter or conversation, named. MissingDependencyError: no peft.
    """
    if find_spec("peft") is None:
        raise MissingDependencyError("train-captioner needs peft: pip install peft")
    prefix, argument = registry.split_model("vlm", asked.model)
    if prefix != "transformers":
        raise ConfigError(f"--model {asked.model!r}: only transformers:DIRECTORY_OR_ID can be trained here")
    try:
        base, adapter = split_adapter(argument)
        start = None if adapter is None else read_adapter(adapter)
        previous = start if asked.previous is None else read_adapter(asked.previous)
        _check_out(asked.out, base)
        train, held_out, manifest, warnings = _conversations(asked)
        family = packs.family_of(f"{base}+{asked.out}")  # as the engine will be named
        if manifest["family"] not in (None, family):
            warnings.append(
                f"the conversations ask with prompts of family {manifest['family']!r}, but {asked.model!r} is asked with those of "
                f"{family!r} by itself: caption with family={manifest['family']}, or export with --family {family}"
            )
        for text in warnings:
            say(f"warning: {text}")
        return _trained(asked, base, start, previous, train, held_out, manifest, say) | {"warnings": warnings}
    except (AdapterError, AddressError, ConversationError, TrainingError) as e:
        raise ConfigError(str(e)) from e
    except ChatError as e:
        raise ConfigError(f"--model {asked.model}: {e}") from e


def _check_out(out: Path, base: str) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: exists; every version gets a folder of its own")
    if "+" in str(out):
        raise ConfigError(f"--out {out}: a plus stands between model and adapter; choose a name without")
    if Path(base).exists() and out.resolve().is_relative_to(Path(base).resolve()):
        raise ConfigError(f"--out {out}: lies inside the model {base}, and would change its digest")


def _conversations(
    asked: CaptionerTraining,
) -> tuple[list[Conversation], list[Conversation], dict[str, Any], list[str]]:
    folder = asked.conversations
    train, held_out = (read_split(folder, split) for split in (TRAIN, HELD_OUT))
    for split, found in ((TRAIN, train), (HELD_OUT, held_out)):
        if not found:
            raise ConfigError(
                f"{folder}: no conversation in {split}.jsonl; export more reviews, or with another --held-out"
            )
    both = shared_images(train, held_out)
    if both:
        raise ConfigError(f"{folder}: {len(both)} pictures stand on both sides of the split, e.g. {both[0]}")
    warnings = []
    manifest = {
        "family": None,
        "image_tokens": 1280,
        "name": folder.resolve().name,
        "digest": digest_of(folder),
    }
    if (folder / MANIFEST).is_file():
        try:
            raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            manifest |= {"family": str(raw["family"]), "image_tokens": int(raw["image_tokens"])}
            known = raw["digest"]
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise ConfigError(f"{folder / MANIFEST}: not a record of conversations ({e})") from e
        if known != manifest["digest"]:
            warnings.append(f"{folder}: the conversations were changed since they were exported")
    unmeasured = sorted({c.task for c in train} - {c.task for c in held_out})
    if unmeasured:
        warnings.append(
            f"nothing is held out of {', '.join(unmeasured)}: no score will tell what became of it"
        )
    return train, held_out, manifest, warnings


def _trained(
    asked: CaptionerTraining,
    base: str,
    start: Adapter | None,
    previous: Adapter | None,
    train: list[Conversation],
    held_out: list[Conversation],
    manifest: Mapping[str, Any],
    say: Callable[[str], None],
) -> dict[str, Any]:
    from zcurate.captioner.training.examples import Encoder
    from zcurate.captioner.training.fitting import attach, fit
    from zcurate.captioner.training.saving import save_adapter
    from zcurate.captioner.training.scoring import scores
    from zcurate.captioner.vlm.adapters import insert
    from zcurate.captioner.vlm.transformers_chat import LocalSettings, TransformersChat

    chat = TransformersChat(base, LocalSettings(image_tokens=manifest["image_tokens"], device=asked.device))
    chat.load()
    model = (
        attach(chat._network, asked.fit) if start is None else insert(chat._network, start, trainable=True)
    )
    encoder = Encoder(chat, asked.conversations, asked.max_tokens)
    say(f"{len(train):,} conversations to learn from, {len(held_out):,} held out")
    found: dict[str, Any] = {"before": scores(chat, encoder, held_out, asked.answers)}
    every = 1

    def step(done: int, steps: int, loss: float) -> None:
        if done % every == 0 or done == steps:
            say(f"step {done:,} of {steps:,}: loss {loss:.4f}")

    total = asked.fit.steps or int(asked.fit.epochs * len(train) / asked.fit.batch)
    every = max(1, total // 20)
    fitted = fit(model, encoder, train, asked.fit, step)
    found["after"] = scores(chat, encoder, held_out, asked.answers)
    settings = asdict(asked.fit) | {"max_tokens": asked.max_tokens}
    if start is not None:
        names = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}
        settings |= {ours: start.config.get(theirs, 0) for ours, theirs in names.items()}
    facts = {
        "base": registry.identity(f"transformers:{base}"),
        "base_name": Path(base).name if Path(base).exists() else base,
        "started_from": None if start is None else start.digest,
        "conversations": {name: manifest[name] for name in ("name", "digest", "family")},
        "settings": settings,
        "fitted": asdict(fitted),
    }
    saved = save_adapter(model, asked.out, previous, facts, found)
    model_string = f"transformers:{base}+{asked.out}"
    return {
        **saved.record,
        "out": str(asked.out),
        "model": model_string,
        "identity": registry.identity(model_string),
        "scores": found,
    }

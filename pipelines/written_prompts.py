"""The prompts of a diagnosis that a model wrote: asked for once, kept, and taken over by the diagnosis that is compared with it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zcurate.captioner.probe_prompts import MAX_PROMPTS
from zcurate.curation.active.choosing import Concept
from zcurate.curation.errors import ConfigError

from .concept_rows import about_concepts

if TYPE_CHECKING:
    from .diagnosing import Options

FILE = "prompts.json"
#: Settings of the judge that say which model is asked.
_MODEL = ("engine", "revision")


def written_prompts(
    o: Options, concepts: Sequence[Concept], begun: Collection[str], say: Callable[[str], None]
) -> dict[str, tuple[str, ...]]:
    """Concept -> prompts; those of `against`, and what is there already, are not written again.

    Args:
        begun: concepts of which pictures were asked for already: their prompts stay what they are.

    Raises:
        ConfigError: no model to write them, too many, or a damaged file. ZcurateError: the model answers nobody.
    """
    taken = read_prompts(o.against) if o.against else {}
    known = {n: p for n, p in taken.items() if n not in begun} | read_prompts(o.out)
    left = [c for c in concepts if c.name not in known and c.name not in begun]
    if o.write_prompts and left:
        if not o.judge.get("engine"):
            raise ConfigError("--write-prompts needs --vlm: the model that writes them")
        if o.write_prompts > MAX_PROMPTS:
            raise ConfigError(
                f"--write-prompts {o.write_prompts}: at most {MAX_PROMPTS} are written of each concept"
            )
        settings = {k: o.judge[k] for k in _MODEL if k in o.judge} | {"count": o.write_prompts}
        rows = [{"name": c.name, "aliases": list(c.aliases)} for c in left]
        found, wrong = about_concepts(o.out / "prompts", "probe_prompts", settings, rows, o.engine, o.address)
        for name, message in wrong.items():
            say(f"{name}: no prompts were written, templates are used ({message})")
        known |= {name: tuple(row["prompts"]) for name, row in found.items()} | dict.fromkeys(wrong, ())
    if known:
        o.out.mkdir(parents=True, exist_ok=True)
        part = o.out / f".{FILE}.part"
        part.write_text(json.dumps(known, ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(part, o.out / FILE)
    return known


def read_prompts(folder: Path) -> dict[str, tuple[str, ...]]:
    """Those that a diagnosis kept. Raises ConfigError: the file is damaged."""
    path = folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): tuple(map(str, prompts)) for name, prompts in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as e:
        raise ConfigError(
            f"{path}: not prompts by concept ({e!r}); delete it to have them written anew"
        ) from e

"""Draft with Turbo, pick, refine with Base, edit with Edit: the best of what each model is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from .canvas import Start
from .errors import GenerationError
from .generate import Generator, Picture
from .request import PRESETS, Request, Settings

#: Grades pictures of one prompt; the highest is picked.
Score = Callable[[Sequence[Image.Image], str], Sequence[float]]
#: Gives a model when its turn has come; the one before is not needed any more.
Load = Callable[[], Generator]


@dataclass(frozen=True)
class Plan:
    """drafts: how many, at seeds following the request's. strength: how much of the draft the refinement draws
    anew, in (0, 1]; 1 keeps only its seed. instruction: what to edit; empty: no edit."""

    drafts: int = 4
    batch: int = 1
    refine: Settings = PRESETS["base"]
    strength: float = 0.6
    instruction: str = ""
    edit: Settings = PRESETS["edit"]


@dataclass(frozen=True, eq=False)
class Link:
    """A picture of the chain. stage: draft, refine or edit. score: of drafts."""

    stage: str
    picture: Picture
    score: float | None = None
    picked: bool = False


def run_chain(
    request: Request,
    turbo: Load,
    base: Load | None,
    editor: Load | None,
    score: Score,
    plan: Plan,
) -> Iterator[Link]:
    """All drafts, then what was made of the best, as they are finished.

    request: of the first draft. base, editor: None leaves their stage out. Only one model is held at a time.
    Raises GenerationError for an instruction without an editor, and
    for scores that cannot be compared.
    """
    if plan.instruction and editor is None:
        raise GenerationError("an instruction needs an Edit model (--edit s3dit:DIR)")
    if plan.drafts < 1:
        raise GenerationError(f"drafts is {plan.drafts}; at least 1 is needed")
    # Without guidance a negative prompt has no effect; it is for the refinement.
    negative = request.negative if request.settings.guidance else ""
    asked = [replace(request, seed=request.seed + i, negative=negative) for i in range(plan.drafts)]
    drafts = list(turbo().generate(asked, plan.batch))
    scores = [float(s) for s in score([d.image for d in drafts], request.prompt)]
    if len(scores) != len(drafts) or not np.isfinite(scores).all():
        raise GenerationError(f"the score gave {scores} for {len(drafts)} drafts; it must give a number each")
    best = int(np.argmax(scores))
    for i, (draft, own) in enumerate(zip(drafts, scores, strict=True)):
        yield Link("draft", draft, own, picked=i == best)
    last = drafts[best]
    if base is not None:
        refined = replace(
            last.request,
            negative=request.negative,
            settings=plan.refine,
            start=Start(last.image, plan.strength),
            tags=request.tags | {"chain": "refine", "chain_draft_seed": str(last.request.seed)},
        )
        last = next(iter(base().generate([refined])))
        yield Link("refine", last)
    if plan.instruction:
        edited = Request(
            prompt=plan.instruction,
            size=last.image.size,
            seed=last.request.seed,
            settings=plan.edit,
            references=(last.image,),
            tags=request.tags | {"chain": "edit", "chain_prompt": request.prompt},
        )
        yield Link("edit", next(iter(editor().generate([edited]))))


def sharpness(images: Sequence[Image.Image], prompt: str) -> list[float]:
    """Variance of the Laplacian of luminance: rewards detail and noise alike, and knows nothing of the prompt."""
    found = []
    for image in images:
        grey = np.asarray(image.convert("L"), np.float32)
        around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
        found.append(float((around - 4 * grey[1:-1, 1:-1]).var()))
    return found

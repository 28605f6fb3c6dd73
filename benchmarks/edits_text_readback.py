"""Can what is written on pictures be read back: how much of the strings that text edits put there RapidOCR reads.

Canvases, rendered landscapes and, with --photos, one's own photographs get texts by the sampler, by default or from
--texts FILE; experts add and replace some of them; every string of at least 24 px is read from the finished picture,
in the place where it was drawn. Per string: the share of characters (Chinese) or words (English) that are read in
order. `mean` is the mean share, `whole` the share of strings read without a fault. The peer of the same run is the
same reader on the same strings, plain black on white: what it cannot read there is not the drawing's fault.

Needs: pip install 'rapidocr==3.10.*' onnxruntime. Seconds are of this process's own time. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from zcurate.captioner.ocr.rapid import RapidOcr
from zcurate.curation.edits.experts import NoProposalError
from zcurate.curation.edits.scene import Scene, on_grid
from zcurate.curation.edits.text.canvases import canvas
from zcurate.curation.edits.text.faults import TextError
from zcurate.curation.edits.text.fonts import find_fonts
from zcurate.curation.edits.text.kit import Kit
from zcurate.curation.edits.text.lettering import Lettering
from zcurate.curation.edits.text.phrase_lists import bundled, read_phrases
from zcurate.curation.edits.text.readback import MIN_SIZE_PX, read_back
from zcurate.curation.edits.text.specs import complete
from zcurate.pipelines.demo import landscapes
from zcurate.pipelines.demo.canvas import Canvas


def pictures(count: int, photos: Path | None, side_px: int) -> list[tuple[str, np.ndarray]]:
    files = (
        sorted(p for p in photos.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
        if photos
        else []
    )
    found = []
    for number in range(count):
        rng = np.random.default_rng((number, 7))
        if number % 3 == 0:
            found.append(("canvas", canvas({"width_px": side_px, "height_px": side_px}, number)))
        elif files:
            bgr = cv2.imread(str(files[int(rng.integers(len(files)))]))
            factor = side_px / max(bgr.shape[:2])
            small = cv2.resize(bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            found.append(("photo", on_grid(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))))
        else:
            paper = Canvas(side_px, side_px)
            weather = landscapes.WEATHERS[int(rng.integers(len(landscapes.WEATHERS)))]
            (landscapes.mountain_lake, landscapes.forest)[number % 2](paper, rng, weather)
            found.append(("landscape", on_grid(paper.finish(rng))))
    return found


def lettered(kit: Kit, lettering: Lettering, base: np.ndarray, seed: int) -> tuple[Scene, dict[str, Any]]:
    """A picture's scene and a state with texts: some added by experts, some replaced."""
    scene = Scene(str(seed), base, lettering.layers)
    rng = np.random.default_rng((seed, 8))
    state: Any = {}
    experts = {e.name: e for e in lettering.experts()}
    for name in ("add_texts", "replace_text", "color_text"):
        try:
            state = experts[name].propose(scene, state, rng).spec.apply(state)
        except NoProposalError:
            continue
    return scene, dict(state)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=150, help="pictures (default 150)")
    parser.add_argument("--side", type=int, default=768, help="longer side of pictures, px (default 768)")
    parser.add_argument("--photos", type=Path, help="folder of photographs to write on")
    parser.add_argument(
        "--fonts", type=Path, nargs="*", default=[], help="folders of fonts (default: installed packages')"
    )
    parser.add_argument("--system-fonts", action="store_true", help="the fonts that fontconfig lists, too")
    parser.add_argument("--texts", type=Path, help="UTF-8 file of strings, one a line, to write instead")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other layouts (default 0)")
    parser.add_argument("--verbose", action="store_true", help="print what was not read")
    parser.add_argument("--quick", action="store_true", help="12 pictures")
    args = parser.parse_args()
    phrases = read_phrases(args.texts) if args.texts else bundled()
    kit = Kit(find_fonts(args.fonts, args.system_fonts), phrases)
    lettering, ocr = Lettering(kit), RapidOcr()
    ocr.load()
    recalls: dict[str, list[float]] = {}
    plain: list[float] = []
    start = time.process_time()
    for number, (ground, base) in enumerate(
        pictures(12 if args.quick else args.pictures, args.photos, args.side)
    ):
        scene, state = lettered(kit, lettering, base, 100_000 * args.seed + number)
        boxes = {k: lettering.layer.patch(v, scene).box for k, v in state.items()}
        found = read_back(ocr, scene.render(state), state, boxes)
        for slot, recall in found.items():
            value = state[slot]
            if value["size_px"] < MIN_SIZE_PX:
                continue
            kinds = ("all", ground, value["lang"], "vertical" if value["vertical"] else "rows")
            kinds += ("surface",) if value["surface"] else ()
            for kind in kinds:
                recalls.setdefault(kind, []).append(recall)
            if args.verbose and recall < 1:
                print(
                    number,
                    f"{recall:.2f}",
                    {k: v for k, v in value.items() if k not in ("font", "lang", "width")},
                )
            plain.append(_plain(ocr, kit, value, number))
    for kind, values in recalls.items():
        print(f"{kind:10s} {len(values):4d} strings  mean {np.mean(values):.4f}  whole {_whole(values):.4f}")
    print(f"plain      {len(plain):4d} strings  mean {np.mean(plain):.4f}  whole {_whole(plain):.4f}")
    result = {
        "strings": len(plain),
        "mean_share_read": round(float(np.mean(recalls["all"])), 4),
        "whole_share": round(_whole(recalls["all"]), 4),
        "zh_mean": round(float(np.mean(recalls.get("zh", [np.nan]))), 4),
        "en_mean": round(float(np.mean(recalls.get("en", [np.nan]))), 4),
        "plain_mean": round(float(np.mean(plain)), 4),
        "plain_whole_share": round(_whole(plain), 4),
        "pictures_per_s_core": round(
            (12 if args.quick else args.pictures) / (time.process_time() - start), 3
        ),
    }
    print(json.dumps(result))


def _whole(values: list[float]) -> float:
    return float(np.mean([v == 1 for v in values]))


def _plain(ocr: RapidOcr, kit: Kit, value: dict[str, Any], seed: int) -> float:
    """Recall of the same string at the same size, black on white, in rows."""
    size = min(48.0, max(24.0, value["size_px"]))
    spec = {
        "canvas": {"width_px": 1024, "height_px": 320, "color": "#ffffff", "to": None},
        "items": [
            {
                **{
                    "text": value["text"],
                    "lang": value["lang"],
                    "font": value["font"],
                    "size_px": size,
                },
                **{
                    "color": "#000000",
                    "position": [0.5, 0.5],
                    "rotation": 0,
                    "vertical": False,
                    "stroke": None,
                },
                **{"shadow": None, "width": 0.95},
            }
        ],
    }
    try:
        base, state = complete(spec, kit, seed)
    except TextError:
        return 0.0
    layer = Lettering(kit).layers
    scene = Scene("p", base, layer)
    box = layer["text"].patch(state["text/0"], scene).box
    return read_back(ocr, scene.render(state), state, {"text/0": box})["text/0"]


if __name__ == "__main__":
    main()

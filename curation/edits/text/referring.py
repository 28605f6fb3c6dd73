"""What a text of a picture is called, so that only one of its texts can be meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xxhash

from ..color_names import ZH as COLORS
from ..phrases import Referent, place_of
from ..phrases_en import PLACES as EN_PLACES
from ..phrases_zh import PLACES as ZH_PLACES
from ..spec import State, canonical
from .drawing import Patch
from .items import color_name, quoted
from .layers import TextLayer
from .phrase_lists import language_of
from .readback import plain

if TYPE_CHECKING:
    from ..scene import Scene

#: Asset of a scene: lines of text that its photograph shows by itself, where somebody has read them.
OWN_TEXT = "text:own"
#: A title is this much larger than all other texts, small print this much smaller.
_MARKED = 1.5
_ORDINALS = (("first", "第一"), ("second", "第二"), ("third", "第三"), ("fourth", "第四"), ("fifth", "第五"))
#: Colors are not seen on pictures in these states.
_COLORLESS_STYLES = frozenset(("sketch", "emboss", "duotone"))


def names_of(scene: Scene, state: State, layer: TextLayer) -> dict[str, Referent]:
    """Slot -> what its text is called, in a picture in this state. Texts that cannot be told apart have no name.

    Which of several names is taken depends on the scene, the slot and the state.
    """
    found: dict[str, Referent] = {}
    texts = canonical({k: v for k, v in state.items() if k.startswith(("text/", "box/"))})
    for slot, names in candidates(scene, state, layer).items():
        if names:
            drawn = xxhash.xxh3_64_intdigest(f"{scene.key}|{slot}|{texts}".encode())
            found[slot] = names[drawn % len(names)]
    return found


def candidates(scene: Scene, state: State, layer: TextLayer) -> dict[str, list[Referent]]:
    """Slot -> all names that fit its text and no other."""
    items = {k: v for k, v in sorted(state.items()) if k.startswith("text/") and v is not None}
    boxes = {v["around"]: v for k, v in state.items() if k.startswith("box/")}
    own = scene.assets.get(OWN_TEXT, ())
    patches = {slot: layer.patch(v, scene) for slot, v in items.items()}
    cells = {slot: _cell(p, scene) for slot, p in patches.items()}
    told = {slot: _told(slot, items, patches, cells[slot], _colorless(state)) for slot in items}
    counted = Counter(name for names in told.values() for name in {en for en, _ in names})
    result: dict[str, list[Referent]] = {}
    for slot, names in told.items():
        where = cells[slot]
        if slot in boxes:
            color = boxes[slot]["color"]
            alone = sum(b["color"] == color for b in boxes.values()) == 1
            seen = alone and not _colorless(state)
            names = [(f"text inside the {color} box", f"{COLORS[color]}框内的文字")] if seen else []
            result[slot] = [_referent(*n, where) for n in names]
        else:
            result[slot] = [_referent(en, zh, where) for en, zh in names if counted[en] == 1]
            if own:
                # What is said of the place or color of a text may fit one that the photograph itself shows.
                result[slot] = [
                    n for n in result[slot] if n.en.startswith('text "') and _unlike(items[slot], own)
                ]
    return result


def _unlike(value: Mapping[str, Any], own: Sequence[str]) -> bool:
    return all(plain(value["text"]) not in plain(line) for line in own)


def _referent(en: str, zh: str, place: str) -> Referent:
    return Referent(en, zh, "处", place=place)


def _told(
    slot: str, items: Mapping[str, Any], patches: Mapping[str, Patch], where: str, colorless: bool
) -> list[tuple[str, str]]:
    """Everything true that can be said of a text, whether or not it fits others, too."""
    value = items[slot]
    said = quoted(value["text"])
    names = [(f'text "{said}"', f"文字“{said}”")] * 2  # most people quote
    names.append((f"text {EN_PLACES[where]}", f"{ZH_PLACES[where]}的文字"))
    color = None if colorless else color_name(value["color"])
    if color:
        names.append((f"{color} text", f"{COLORS[color]}的文字"))
    sizes = {k: float(v["size_px"]) for k, v in items.items()}
    others = [s for k, s in sizes.items() if k != slot]
    if others and sizes[slot] >= _MARKED * max(others):
        names.append(("large title", "大标题"))
        if color:
            names.append((f"{color} title", f"{COLORS[color]}的标题"))
    if others and sizes[slot] * _MARKED <= min(others):
        names.append(("smallest text", "最小的文字"))
    if len({language_of(v["text"]) for v in items.values()}) > 1 and any(c.isalpha() for c in value["text"]):
        names.append(
            ("Chinese text", "中文文字")
            if language_of(value["text"]) == "zh"
            else ("English text", "英文文字")
        )
    return names + _counted(slot, items, patches)


def _counted(slot: str, items: Mapping[str, Any], patches: Mapping[str, Patch]) -> list[tuple[str, str]]:
    """Its number from the top, where the texts are single lines, each wholly below the one before."""
    lines = sorted(patches, key=lambda k: patches[k].box[1])
    single = all(len(p.lines) == 1 for p in patches.values()) and not any(
        v["vertical"] for v in items.values()
    )
    below = all(patches[a].box[3] <= patches[b].box[1] for a, b in zip(lines, lines[1:], strict=False))
    if len(lines) < 2 or len(lines) > len(_ORDINALS) or not single or not below:
        return []
    en, zh = _ORDINALS[lines.index(slot)]
    return [(f"{en} line of text", f"{zh}行文字")]


def _cell(patch: Patch, scene: Scene) -> str:
    """The cell of a 3 x 3 grid in which a text's middle lies."""
    x0, y0, x1, y1 = patch.box
    rows, columns = scene.base.shape[:2]
    return place_of({"x": (x0 + x1) / 2 / columns, "y": (y0 + y1) / 2 / rows}) or "center"


def _colorless(state: State) -> bool:
    return (
        bool(state.get("photometric/grey")) or (state.get("style/0") or {}).get("name") in _COLORLESS_STYLES
    )

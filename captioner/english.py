"""Phrases of the template engine in English."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .alt_text import Name
from .facts import PictureFacts
from .lexicon import english_to_chinese
from .ocr.lines import OcrLine

Choose = Callable[[str, Sequence[str]], str]

KINDS = {"camera": "photo", "rendered": "rendered image", "model": "AI-generated image", "unknown": "image"}
SHAPES = {"vertical": "vertical", "horizontal": "horizontal", "square": "square"}
_PLACES = (
    ("at the top left", "at the top", "at the top right"),
    ("on the left", "in the center", "on the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)
_NO_ARTICLE = frozenset(
    "pants shorts jeans glasses sunglasses people grass snow ice rain fire smoke wood metal glass fabric paper "
    "gravel outerwear food bread noodles rice soup meat cheese fruit corn chocolate candy coffee tea milk juice beer "
    "wine cream football basketball tennis swimming skiing surfing christmas spring summer autumn winter earth stairs "
    "chopsticks sky sun moon".split()
)
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def quote(text: str) -> str:
    return f'"{text}"'


def noun(facts: PictureFacts, origin: str, animated: bool) -> str:
    kind = "animated image" if animated else KINDS[origin]
    if facts.saturation == "gray":
        kind = f"black-and-white {kind}"
    return f"{SHAPES[facts.shape]} {kind}"


def intro(
    facts: PictureFacts, origin: str, animated: bool, name: Name | None, foreign: Name | None, choose: Choose
) -> str:
    """First sentence of the longer captions."""
    what = noun(facts, origin, animated)
    if facts.aspect:
        what = what.replace(SHAPES[facts.shape], f"{SHAPES[facts.shape]} {facts.aspect}", 1)
    what = cap(indefinite(what) + what)
    if name is None:
        return f"{what} with the title ‘{foreign.text}’." if foreign else f"{what}."
    if name.role == "label":
        return choose("intro", (f"{what} labeled ‘{name.text}’.", f"{what} from the class ‘{name.text}’."))
    if name.role == "title":
        return choose("intro", (f"{what} titled ‘{name.text}’.", f"{what} with the title ‘{name.text}’."))
    return choose(
        "intro",
        (
            f"{what} that its source describes as ‘{name.text}’.",
            f"{what} with the description ‘{name.text}’.",
        ),
    )


def colors(facts: PictureFacts, choose: Choose) -> str | None:
    """How much of the picture each color covers."""
    if facts.saturation == "gray" or not facts.colors:
        return None
    first, share = facts.colors[0]
    amount = next(
        (
            words
            for least, words in ((0.85, "almost all of"), (0.6, "most of"), (0.42, "about half of"))
            if share >= least
        ),
        None,
    )
    rest = join([name for name, _ in facts.colors[1:]])
    if amount is None:
        listed = join([name for name, _ in facts.colors])
        return choose("colors", (f"The main colors are {listed}.", f"{cap(listed)} are the main colors."))
    if not rest:
        return f"{cap(first)} covers {amount} the picture."
    return choose(
        "colors",
        (
            f"{cap(first)} covers {amount} the picture, with smaller areas of {rest}.",
            f"{cap(amount)} the picture is {first}; the rest is mainly {rest}.",
        ),
    )


def layout(facts: PictureFacts) -> str | None:
    """Where the colors lie, when the thirds differ or the edge is even."""
    parts = []
    if facts.saturation != "gray":
        named = [(p, c) for p, c in zip(("top", "middle", "bottom"), facts.bands, strict=True) if c]
        if len({c for _, c in named}) >= 2:
            merged: dict[str, list[str]] = {}
            for part, color in named:
                merged.setdefault(color, []).append(part)
            for color, where in merged.items():
                verb = (" is mainly" if len(where) == 1 else " are mainly") if not parts else ""
                parts.append(f"the {join(where)}{verb} {color}")
    sentences = [f"{cap(join(parts))}."] if parts else []
    if facts.edge:
        sentences.append(f"Along all edges it is {facts.edge}.")
    return " ".join(sentences) or None


def light(facts: PictureFacts) -> str | None:
    """Brightness, contrast and color strength in one sentence."""
    with_ = []
    if facts.contrast:
        with_.append(f"{facts.contrast} contrast")
    tone = [w for w in (facts.saturation if facts.saturation != "gray" else None, facts.temperature) if w]
    if tone:
        with_.append(f"{', '.join(tone)} colors")
    if facts.brightness:
        tail = f", with {join(with_)}" if with_ else ""
        return f"Overall it is {facts.brightness}{tail}."
    return f"It has {join(with_)}." if with_ else None


def focus(facts: PictureFacts) -> str | None:
    return {"soft": "It is in soft focus, without fine detail.", "crisp": "Fine detail is sharp."}.get(
        facts.focus or ""
    )


def place(line: OcrLine) -> str:
    x0, y0, x1, y1 = line.box
    column = 1 if x1 - x0 > 0.6 else min(2, int((x0 + x1) / 2 * 3))
    return _PLACES[min(2, int((y0 + y1) / 2 * 3))][column]


def lettering(lines: Sequence[OcrLine], located: int = 8) -> str | None:
    """All lines, each quoted exactly; with places while there are at most `located`."""
    if not lines:
        return None
    if len(lines) == 1:
        large = ", in large letters" if height(lines[0]) >= 0.1 else ""
        return f"The text {quote(lines[0].text)} appears {place(lines[0])}{large}."
    if len(lines) > located:
        return f"It contains {len(lines)} pieces of text. In reading order: {', '.join(quote(s.text) for s in lines)}."
    groups: list[tuple[str, list[str]]] = []
    for line in lines:
        where = place(line)
        if groups and groups[-1][0] == where:
            groups[-1][1].append(quote(line.text))
        else:
            groups.append((where, [quote(line.text)]))
    count = _NUMBERS[len(lines)] if len(lines) < len(_NUMBERS) else str(len(lines))
    placed = "; ".join(f"{where}, {join(texts)}" for where, texts in groups)
    return f"It contains {count} pieces of text: {placed}."


def watermarks(lines: Sequence[OcrLine]) -> str | None:
    texts = list(dict.fromkeys(quote(line.text) for line in lines))
    return f"A watermark reads {join(texts)}." if texts else None


def height(line: OcrLine) -> float:
    return line.box[3] - line.box[1]


def short(
    facts: PictureFacts,
    origin: str,
    animated: bool,
    name: Name | None,
    foreign: Name | None,
    lines: Sequence[OcrLine],
) -> str:
    """One sentence about the whole picture."""
    what = noun(facts, origin, animated)
    what = indefinite(what) + what
    if facts.saturation != "gray" and facts.colors:
        what += f" in {join([c for c, _ in facts.colors[:2]])}"
    if lines:
        largest = sorted(lines, key=lambda line: -height(line))[0]
        what += f" with the text {quote(largest.text)}"
    if name:
        return f"{cap(name.text)}: {what}."
    return f"‘{foreign.text}’: {what}." if foreign else f"{cap(what)}."


def prompt(register: str, element: dict[str, str]) -> str:
    """A prompt as people type it, from the elements a plan kept: subject, color, text, shape."""
    subject, color, text, shape = (element.get(k) for k in ("subject", "color", "text", "shape"))
    if register == "keywords":
        parts = [subject, color and f"{color} tones", text and quote(text), shape]
        return ", ".join(p for p in parts if p)
    head = subject or (f"{shape} image" if shape else "picture" if color else "lettering")
    if register == "command":
        verb = "make" if subject is None else "show me"
        article = "" if head == "lettering" or (subject and not countable(subject)) else indefinite(head)
        phrase = f"{verb} {article}{head}"
    else:
        phrase = head
    if color:
        phrase += f", mostly {color}" if subject else f" in {color}"
    if text:
        phrase += f" that says {quote(text)}" if subject is None else f", with the text {quote(text)}"
    if subject and shape:
        phrase += f", {shape} format"
    return phrase


def countable(subject: str) -> bool:
    """A lexicon entry that takes an article; titles and mass nouns do not."""
    return subject in english_to_chinese() and subject.split()[-1] not in _NO_ARTICLE


def indefinite(words: str) -> str:
    return "an " if words[0] in "aeiouAEIOU" else "a "


def some_lettering(lines: Sequence[OcrLine]) -> str:
    """The largest lines, when there are more."""
    return f"The largest text reads {join([quote(line.text) for line in lines])}."


def join(items: Sequence[str]) -> str:
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def cap(text: str) -> str:
    return text[:1].upper() + text[1:]

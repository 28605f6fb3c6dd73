"""Phrases of the template engine in Chinese; written in Chinese, not translated word by word."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .alt_text import Name
from .colors import COLORS
from .facts import PictureFacts
from .ocr.lines import OcrLine

Choose = Callable[[str, Sequence[str]], str]

KINDS = {"camera": "照片", "rendered": "渲染图像", "model": "AI生成图像", "unknown": "图片"}
SHAPES = {"vertical": "竖幅", "horizontal": "横幅", "square": "方形"}
_PLACES = (("左上角", "上方", "右上角"), ("左侧", "中央", "右侧"), ("左下角", "下方", "右下角"))


def quote(text: str) -> str:
    return f"“{text}”"


def color(name: str) -> str:
    return COLORS[name][0]


def noun(facts: PictureFacts, origin: str, animated: bool) -> str:
    kind = "动图" if animated else KINDS[origin]
    return f"{SHAPES[facts.shape]}{'黑白' if facts.saturation == 'gray' else ''}{kind}"


def intro(
    facts: PictureFacts, origin: str, animated: bool, name: Name | None, foreign: Name | None, choose: Choose
) -> str:
    """First sentence of the longer captions."""
    ratio = f"，宽高比为{facts.aspect}" if facts.aspect else ""
    what = noun(facts, origin, animated)
    if name is None:
        titled = f"，原题为《{foreign.text}》" if foreign else ""
        return f"一张{what}{ratio}{titled}。"
    if name.role == "label":
        return choose(
            "intro", (f"一张{what}{ratio}，类别标注为{name.text}。", f"标注为{name.text}的{what}{ratio}。")
        )
    if name.role == "title":
        return choose(
            "intro",
            (f"一张题为《{name.text}》的{what}{ratio}。", f"一张{what}{ratio}，标题为《{name.text}》。"),
        )
    return f"一张{what}{ratio}，原说明为：{name.text}。"


def colors(facts: PictureFacts, choose: Choose) -> str | None:
    """How much of the picture each color covers."""
    if facts.saturation == "gray" or not facts.colors:
        return None
    first, share = facts.colors[0]
    rest = join([color(c) for c, _ in facts.colors[1:]])
    amount = next(
        (
            words
            for least, words in ((0.85, "几乎整个画面"), (0.6, "画面的大部分"), (0.42, "约一半画面"))
            if share >= least
        ),
        None,
    )
    if amount is None:
        listed = join([color(c) for c, _ in facts.colors])
        return choose("colors", (f"画面的主要颜色是{listed}。", f"画面以{listed}为主。"))
    if not rest:
        return f"{amount}是{color(first)}。"
    return choose(
        "colors",
        (f"{amount}是{color(first)}，其余主要是{rest}。", f"{amount}为{color(first)}，另有小面积的{rest}。"),
    )


def layout(facts: PictureFacts) -> str | None:
    """Where the colors lie, when the thirds differ or the edge is even."""
    sentences = []
    if facts.saturation != "gray":
        named = [(p, c) for p, c in zip(("上部", "中部", "下部"), facts.bands, strict=True) if c]
        if len({c for _, c in named}) >= 2:
            merged: dict[str, list[str]] = {}
            for part, name in named:
                merged.setdefault(name, []).append(part)
            sentences.append(
                "，".join(f"{join(where)}以{color(c)}为主" for c, where in merged.items()) + "。"
            )
    if facts.edge:
        sentences.append(f"画面四周边缘均为{color(facts.edge)}。")
    return "".join(sentences) or None


def light(facts: PictureFacts) -> str | None:
    """Brightness, contrast and color strength in one sentence."""
    words = {"very dark": "整体很暗", "dark": "整体偏暗", "bright": "整体明亮", "very bright": "整体非常明亮"}
    parts = [words[facts.brightness]] if facts.brightness else []
    if facts.contrast:
        parts.append({"low": "对比度低", "high": "对比度高"}[facts.contrast])
    if facts.saturation in ("muted", "vivid"):
        parts.append({"muted": "色彩偏淡", "vivid": "色彩鲜艳"}[facts.saturation])
    if facts.temperature:
        parts.append({"warm": "色调偏暖", "cool": "色调偏冷"}[facts.temperature])
    return f"画面{'，'.join(parts)}。" if parts else None


def focus(facts: PictureFacts) -> str | None:
    return {"soft": "焦点柔和，细节不清晰。", "crisp": "细节清晰锐利。"}.get(facts.focus or "")


def place(line: OcrLine) -> str:
    x0, y0, x1, y1 = line.box
    column = 1 if x1 - x0 > 0.6 else min(2, int((x0 + x1) / 2 * 3))
    return _PLACES[min(2, int((y0 + y1) / 2 * 3))][column]


def lettering(lines: Sequence[OcrLine], located: int = 8) -> str | None:
    """All lines, each quoted exactly; with places while there are at most `located`."""
    if not lines:
        return None
    if len(lines) == 1:
        large = "大字" if lines[0].box[3] - lines[0].box[1] >= 0.1 else "文字"
        return f"画面{place(lines[0])}有{large}{quote(lines[0].text)}。"
    if len(lines) > located:
        return f"画面中有{len(lines)}处文字，按阅读顺序为：{'、'.join(quote(s.text) for s in lines)}。"
    groups: list[tuple[str, list[str]]] = []
    for line in lines:
        where = place(line)
        if groups and groups[-1][0] == where:
            groups[-1][1].append(quote(line.text))
        else:
            groups.append((where, [quote(line.text)]))
    placed = "；".join(f"{where}为{join(texts)}" for where, texts in groups)
    return f"画面中有{len(lines)}处文字：{placed}。"


def watermarks(lines: Sequence[OcrLine]) -> str | None:
    texts = list(dict.fromkeys(quote(line.text) for line in lines))
    return f"画面带有水印{join(texts)}。" if texts else None


def short(
    facts: PictureFacts,
    origin: str,
    animated: bool,
    name: Name | None,
    foreign: Name | None,
    lines: Sequence[OcrLine],
) -> str:
    """One sentence about the whole picture."""
    what = f"一张{noun(facts, origin, animated)}"
    if facts.saturation != "gray" and facts.colors:
        what += f"，以{join([color(c) for c, _ in facts.colors[:2]])}为主"
    if lines:
        largest = sorted(lines, key=lambda line: -(line.box[3] - line.box[1]))[0]
        what += f"，带有文字{quote(largest.text)}"
    if name:
        return f"{name.text}：{what}。"
    return f"《{foreign.text}》：{what}。" if foreign else f"{what}。"


def prompt(register: str, element: dict[str, str]) -> str:
    """A prompt as people type it, from the elements a plan kept: subject, color, text, shape."""
    subject, tone, text, shape = (element.get(k) for k in ("subject", "color", "text", "shape"))
    if register == "keywords":
        parts = [subject, tone and f"{tone}调", text and quote(text), shape]
        return "，".join(p for p in parts if p)
    head = subject or "图片"
    parts = [p for p in (shape, tone) if p]
    phrase = f"{'、'.join(parts)}的{head}" if parts else head
    if text:
        phrase = f"{phrase}，上面写着{quote(text)}" if subject or parts else f"写着{quote(text)}的图片"
    return (
        f"帮我画一张{phrase}"
        if register == "command" and not subject
        else f"画{phrase}"
        if register == "command"
        else phrase
    )


def some_lettering(lines: Sequence[OcrLine]) -> str:
    """The largest lines, when there are more."""
    return f"较大的文字为{join([quote(line.text) for line in lines])}。"


def join(items: Sequence[str]) -> str:
    items = list(items)
    return items[0] if len(items) == 1 else f"{'、'.join(items[:-1])}和{items[-1]}" if items else ""

"""Clauses about rendered text in Chinese. New text is always quoted, character by character."""

from __future__ import annotations

from typing import Any

from ..color_names import ZH as COLORS
from ..phrases_zh import PLACES
from .items import color_name
from .phrases_text_en import Lazy, differing, new, old, other_color, other_line, translates

_LANGUAGES = {"en": "英文", "zh": "中文"}
_NUMBERS = "一二三四五"
_COUNTS = {2: "两", 3: "三", 4: "四", 5: "五"}
_STYLES = {"serif": "衬线体", "sans": "无衬线体", "mono": "等宽字体", "script": "手写体"}

_FIXED: dict[str, tuple[str, ...]] = {
    "text.remove": ("移除{the}", "去掉{the}", "把{the}擦除"),
    "text.replace": ("把{the}换成“{new}”", "将{the}改为“{new}”", "把{the}替换成“{new}”"),
    "text.translate": ("把{the}翻译成{language}“{new}”", "将{the}译为{language}，内容为“{new}”"),
    "text.swap": ("把文字“{old}”和“{new}”互换", "让文字“{old}”与“{new}”交换位置，样式随位置而定"),
    "text.color": ("把{the}的颜色改成{color}", "将{the}变为{color}"),
}


def clause(facts: Any, choose: Any) -> str:
    """一个祈使分句，不带句号；方框本身没有说法。KeyError: 没有对应的说法。"""
    if facts.type == "text.box":
        return ""
    own = _OWN.get(facts.type)
    if own is not None:
        return own(facts, choose)
    line = other_line(facts) if facts.type == "text.replace" else None
    if line is not None:
        number, before, after = line
        phrases = ("把{0}的第{3}行从“{1}”改成“{2}”", "将{0}中的“{1}”换成“{2}”", "把{0}的第{3}行改写为“{2}”")
        return choose(facts.key, phrases).format(facts.source.zh, before, after, _NUMBERS[number])
    if facts.type == "text.translate" and not translates(facts):
        phrases = ("把{0}换成{2}“{1}”", "将{0}改为{2}文字“{1}”")
        return choose(facts.key, phrases).format(facts.source.zh, new(facts), _LANGUAGES[facts.after["lang"]])
    values = {"the": lambda: facts.source.zh, "new": lambda: new(facts), "old": lambda: old(facts)}
    values["language"] = lambda: _LANGUAGES[facts.after["lang"]]
    values["color"] = lambda: COLORS[other_color(facts)]
    return choose(facts.key, _FIXED[facts.type]).format_map(Lazy(values))


def _add(facts: Any, choose: Any) -> str:
    phrases = (
        "在{1}添加文字“{0}”",
        "在画面{1}用{2}字写上“{0}”",
        "在{1}加上{2}的文字“{0}”",
    )
    if facts.after["vertical"]:
        phrases = ("在{1}竖排写上“{0}”", "在画面{1}添加竖排的{2}文字“{0}”")
    color, lines = COLORS[color_name(facts.after["color"])], facts.after["text"].split("\n")
    if len(lines) in _COUNTS and not facts.after["vertical"]:
        told = "".join(f"“{line}”" for line in lines)
        phrases = ("在{1}添加{3}行文字{0}", "在画面{1}用{2}字分{3}行写上{0}")
        return choose(facts.key, phrases).format(told, PLACES[facts.target.place], color, _COUNTS[len(lines)])
    return choose(facts.key, phrases).format(new(facts), PLACES[facts.target.place], color)


def _font(facts: Any, choose: Any) -> str:
    before, after = facts.before["font"], facts.after["font"]
    if not after["style"] or all(before[k] == after[k] for k in ("style", "bold", "italic")):
        return choose(facts.key, ("把{0}的字体换成 {1}", "将{0}改用 {1} 字体")).format(
            facts.source.zh, after["family"]
        )
    if before["style"] == after["style"] and before["italic"] == after["italic"]:
        return f"把{facts.source.zh}{'加粗' if after['bold'] else '改成常规粗细'}"
    if before["style"] == after["style"] and before["bold"] == after["bold"]:
        return f"把{facts.source.zh}改成{'斜体' if after['italic'] else '正体'}"
    cut = ("加粗" if after["bold"] else "") + ("倾斜" if after["italic"] else "")
    cut = f"{cut}的" if cut else ""
    return choose(facts.key, ("把{0}的字体改成{1}{2}", "将{0}换成{1}{2}")).format(
        facts.source.zh, cut, _STYLES[after["style"]]
    )


def _size(facts: Any, choose: Any) -> str:
    ratio = float(facts.after["size_px"]) / float(facts.before["size_px"])
    much = "很多" if ratio > 1.6 or ratio < 0.6 else "一些"
    word = ("放大", "变大") if ratio > 1 else ("缩小", "变小")
    return f"把{facts.source.zh}{choose(facts.key, word)}{much}"


def _move(facts: Any, choose: Any) -> str:
    parts = []
    if differing(facts, "position"):
        parts.append(_shift(facts, choose))
    if differing(facts, "rotation"):
        degrees = float(facts.after["rotation"]) - float(facts.before["rotation"])
        parts.append(f"把{facts.source.zh}{'顺' if degrees > 0 else '逆'}时针旋转{abs(degrees):g}度")
    if differing(facts, "vertical"):
        parts.append(f"把{facts.source.zh}改成{'竖排' if facts.after['vertical'] else '横排'}")
    if differing(facts, "surface"):
        parts.append(_LYING[(facts.after["surface"] or {}).get("kind")].format(facts.source.zh))
    if differing(facts, "align") and "\n" in facts.after["text"]:
        way = {"left": "左对齐", "center": "居中对齐", "right": "右对齐"}[facts.after["align"]]
        parts.append(f"把{facts.source.zh}的各行{way}")
    if not parts:
        raise KeyError("align, anchor or width")
    return "，".join([parts[0], *(p.replace(facts.source.zh, "它") for p in parts[1:])])


_LYING = {None: "让{0}平铺在画面上", "quad": "让{0}带有透视效果", "cylinder": "让{0}沿曲面弯曲"}


def _shift(facts: Any, choose: Any) -> str:
    place = facts.target.place
    if place != facts.source.place:
        return choose(facts.key, ("把{0}移到{1}", "将{0}移动到画面{1}")).format(
            facts.source.zh, PLACES[place]
        )
    x, y = (
        float(b) - float(a) for a, b in zip(facts.before["position"], facts.after["position"], strict=True)
    )
    way = ("右" if x > 0 else "左") if abs(x) >= abs(y) else ("下" if y > 0 else "上")
    return f"把{facts.source.zh}向{way}移动一点"


def _effect(facts: Any, choose: Any) -> str:
    parts = []
    if differing(facts, "stroke"):
        edge = facts.after["stroke"]
        old_edge = facts.before["stroke"]
        if edge and old_edge:
            if color_name(edge["color"]) != color_name(old_edge["color"]):
                parts.append(f"把{facts.source.zh}的描边改成{COLORS[color_name(edge['color'])]}")
            else:
                more = edge["width_px"] > old_edge["width_px"]
                parts.append(f"把{facts.source.zh}的描边{'加粗' if more else '变细'}")
        else:
            parts.append(
                f"给{facts.source.zh}加上{COLORS[color_name(edge['color'])]}描边"
                if edge
                else f"去掉{facts.source.zh}的描边"
            )
    if differing(facts, "shadow"):
        if facts.after["shadow"] and facts.before["shadow"]:
            raise KeyError("one shadow for another")
        parts.append(
            choose(facts.key, ("给{0}加上阴影", "为{0}添加投影")).format(facts.source.zh)
            if facts.after["shadow"]
            else f"去掉{facts.source.zh}的阴影"
        )
    if not parts:
        raise KeyError("light")
    return "，".join([parts[0], *(p.replace(facts.source.zh, "它") for p in parts[1:])])


_OWN = {"text.add": _add, "text.font": _font, "text.size": _size, "text.move": _move, "text.effect": _effect}

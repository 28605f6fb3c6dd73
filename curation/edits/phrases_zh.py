"""编辑指令的中文分句。Clauses of editing instructions in Chinese, written in Chinese rather than translated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .color_names import ZH as COLORS

PLACES = {
    "top left": "左上角",
    "top": "上方",
    "top right": "右上角",
    "left": "左侧",
    "center": "中央",
    "right": "右侧",
    "bottom left": "左下角",
    "bottom": "下方",
    "bottom right": "右下角",
}
_SLIGHTLY = {"slight": "稍微", "plain": "", "strong": "大幅"}
_A_BIT = {"slight": "一点", "plain": "一些", "strong": "很多"}

STYLES = {
    "film": "老胶片照片",
    "sketch": "铅笔素描",
    "posterize": "平面色块海报",
    "cartoon": "卡通画",
    "pixelate": "像素画",
    "emboss": "浮雕",
    "duotone": "双色印刷",
    "vignette": "带暗角的照片",
    "art": "绘画作品",
}
WEATHER = {"rain": "雨", "snow": "雪花", "fog": "雾气"}
LIGHTS = {
    "dusk": "黄昏的暖光",
    "night": "夜晚的月光",
    "dawn": "清晨的淡光",
    "side_left": "从左侧照来的光",
    "side_right": "从右侧照来的光",
    "overcast": "阴天的柔光",
}

_FIXED: dict[str, tuple[str, ...]] = {
    "object.remove": ("移除{source}", "去掉{source}", "把{source}从画面中擦除"),
    "object.replace": ("把{source}换成{a_target}", "将{source}替换为{a_target}"),
    "object.extract": ("抠出{source}，放在纯{ground}背景上", "将{source}提取到纯{ground}背景上"),
    "attr.color": ("把{source}的颜色改成{color}", "将{source}变为{color}"),
    "attr.material": ("把{source}的材质改成{material}",),
    "style.change": ("把风格改成{style}", "改为{style}的效果"),
    "reference.sketch": ("把这张铅笔素描变成写实的彩色照片", "根据这幅素描生成一张色彩自然的照片"),
    "pixel.grey": ("把图片变成黑白", "将照片转为灰度", "去掉所有色彩"),
    "pixel.colorize": ("给这张黑白照片上色", "为图片还原自然的色彩"),
    "pixel.blur": ("{slightly}模糊图片", "让画面失焦"),
    "pixel.deblur": ("让模糊的画面变清晰", "去除模糊", "把画面对上焦"),
    "pixel.noise": ("给图片加上{a_bit}噪点", "让画面变得有颗粒感"),
    "pixel.denoise": ("去除噪点", "把画面中的颗粒清理干净", "给照片降噪"),
    "pixel.compress": ("加上明显的JPEG压缩痕迹", "让图片看起来被严重压缩"),
    "pixel.restore": ("去除压缩痕迹", "修复因压缩丢失的细节"),
    "pixel.downscale": ("让图片看起来分辨率很低", "把画面变成小图放大后的样子"),
    "style.vignette": ("给画面加上暗角", "用暗角压暗四周"),
    "pixel.upscale": ("提高分辨率并恢复细节", "把这张低清图片变清晰"),
    "scene.clear": ("去掉画面中的{weather_before}", "让天气转晴，不再有{weather_before}"),
    "viewpoint.camera": ("换一个视角拍摄这个场景",),
}


def clause(facts: Any, choose: Any) -> str:
    """一个祈使分句，不带句号。KeyError: 没有对应的说法。"""
    own = _OWN.get(facts.type)
    if own is not None:
        return own(facts, choose)
    if facts.type.startswith("style.") and facts.type not in _FIXED:
        style = STYLES[facts.type.partition(".")[2]]
        return choose(facts.key, ("把图片变成{0}", "将画面改为{0}风格", "让画面呈现{0}的样子")).format(style)
    if facts.type.startswith("text."):
        from .text import phrases_text_zh  # the words of text edits lie beside their renderer

        return phrases_text_zh.clause(facts, choose)
    return choose(facts.key, _FIXED[facts.type]).format_map(_Values(facts))


def sentence(clauses: Sequence[str], choose: Any, keep: bool = False) -> str:
    """把分句连成一句；`keep` 时补充其余部分保持不变。"""
    text = clauses[0]
    if len(clauses) == 2:
        text += choose("join", ("，并", "，同时", "，然后")) + clauses[1]
    elif len(clauses) > 2:
        text = "，".join(clauses[:-1]) + choose("join", ("，并", "，同时")) + clauses[-1]
    if keep:
        text += "，" + choose("keep", ("其余部分保持不变", "不要改动其他内容", "画面其他地方保持原样"))
    return text + "。"


def some(referent: Any) -> str:
    return f"一{referent.measure}{referent.zh}"


def pronoun(clause_: str, referent: Any) -> str:
    return clause_.replace(referent.zh, "它们" if referent.plural else "它")


class _Values:
    """Values of a template, worked out only when it names them."""

    def __init__(self, facts: Any) -> None:
        self._facts = facts

    def __getitem__(self, name: str) -> str:
        facts = self._facts
        return {
            "source": lambda: facts.source.zh,
            "a_target": lambda: some(facts.target),
            "ground": lambda: COLORS[facts.after["ground"]],
            "color": lambda: COLORS[facts.color],
            "material": lambda: facts.after["material_zh"],
            "style": lambda: STYLES[facts.after["name"]],
            "weather_before": lambda: WEATHER[facts.before["kind"]],
            "slightly": lambda: _SLIGHTLY[facts.degree],
            "a_bit": lambda: _A_BIT[facts.degree],
        }[name]()


def _add(facts: Any, choose: Any) -> str:
    where = PLACES.get(facts.place or "", "")
    if not where:
        return choose(facts.key, ("加上{0}", "添加{0}")).format(some(facts.target))
    return choose(facts.key, ("在{1}加上{0}", "在画面{1}添加{0}", "在{1}放{0}")).format(
        some(facts.target), where
    )


def _move(facts: Any, choose: Any) -> str:
    from .phrases import place_of

    place, start = facts.place, place_of(facts.before)
    if place is None:
        raise KeyError("x, y")
    if start == place:
        return _nudge(facts)
    return choose(facts.key, ("把{0}移到{1}", "将{0}移动到画面{1}")).format(facts.source.zh, PLACES[place])


def _nudge(facts: Any) -> str:
    x, y = (float(facts.after[k]) - float(facts.before[k]) for k in ("x", "y"))
    way = ("右" if x > 0 else "左") if abs(x) >= abs(y) else ("下" if y > 0 else "上")
    return f"把{facts.source.zh}向{way}移动一点"


def _resize(facts: Any, choose: Any) -> str:
    ratio = float(facts.after.get("scale", 1)) / float((facts.before or {}).get("scale", 1))
    word = "大" if ratio > 1 else "小"
    much = "很多" if ratio > 1.6 or ratio < 0.6 else "一些"
    return choose(facts.key, ("把{0}变{1}{2}", "让{0}变得更{1}")).format(facts.source.zh, word, much)


def _turn(facts: Any, choose: Any) -> str:
    before = facts.before or {}
    if bool(facts.after.get("flip")) != bool(before.get("flip")):
        return choose(facts.key, ("把{0}左右翻转", "让{0}朝向另一边")).format(facts.source.zh)
    degrees = float(facts.after.get("rotation", 0)) - float(before.get("rotation", 0))
    return f"把{facts.source.zh}{'顺' if degrees > 0 else '逆'}时针旋转{abs(degrees):g}度"


def _count(facts: Any, choose: Any) -> str:
    where = PLACES.get(facts.place or "", "画面中")
    referent = facts.target if facts.before is None else facts.source
    name = referent.zh.removeprefix(f"{where}的")
    if facts.before is None:
        return choose(facts.key, ("在{1}再加一{2}{0}", "在{1}多放一{2}{0}")).format(
            name, where, referent.measure
        )
    return choose(facts.key, ("去掉{1}的那{2}{0}", "拿走{1}的那{2}{0}")).format(name, where, referent.measure)


def _background(facts: Any, choose: Any) -> str:
    return choose(facts.key, ("把背景换成{0}", "将背景替换为{0}")).format(facts.target.zh)


def _weather(facts: Any, choose: Any) -> str:
    kind = facts.after["kind"]
    said = {
        "rain": ("让画面下起雨", "给场景加上雨"),
        "snow": ("让画面飘起雪花", "给场景加上飘雪"),
        "fog": ("让场景笼罩在雾中", "给画面加上雾气"),
    }
    return choose(facts.key, said[kind])


def _to_photo(facts: Any, choose: Any) -> str:
    if facts.before["name"] == "vignette":
        return choose(facts.key, ("去掉暗角", "提亮变暗的四角"))
    style = STYLES[facts.before["name"]]
    return choose(facts.key, ("把这张{0}还原成自然的照片", "恢复自然照片的样子")).format(style)


def _light(facts: Any, choose: Any) -> str:
    if facts.after is None:
        return choose(facts.key, ("恢复自然光线", "把光线改回正常的日光"))
    return choose(facts.key, ("把光线改成{0}", "用{0}重新照亮场景")).format(LIGHTS[facts.after["name"]])


def _more_or_less(up: tuple[str, ...], down: tuple[str, ...]) -> Any:
    def say(facts: Any, choose: Any) -> str:
        words = choose(facts.key, up if facts.rises else down)
        return words.format(_SLIGHTLY[facts.degree], _A_BIT[facts.degree])

    return say


def _crop(facts: Any, choose: Any) -> str:
    where = PLACES[facts.place or "center"]
    return choose(facts.key, ("裁剪出画面{0}的部分", "放大画面{0}的区域")).format(where)


def _outpaint(facts: Any, choose: Any) -> str:
    way = _beyond(facts.before)
    return choose(
        facts.key, ("把画面向{0}扩展", "拉远镜头，向{0}展现更多场景", "向{0}补全画面外的内容")
    ).format(way)


def _beyond(crop: Any) -> str:
    """裁剪后的画面还能往哪边延伸。"""
    x, y = float(crop.get("x", 0.5)), float(crop.get("y", 0.5))
    across = "" if 0.25 < x < 0.75 else "右" if x <= 0.25 else "左"
    along = "" if 0.25 < y < 0.75 else "下" if y <= 0.25 else "上"
    if across and along:
        return f"{across}和{along}"
    return f"{across}侧及上下" if across else f"{along}方及左右" if along else "四周"


def _rotate(facts: Any, choose: Any) -> str:
    value, sign = (facts.after, 1) if facts.after else (facts.before, -1)
    degrees = sign * float(value["degrees"])
    degrees = degrees - 360 if degrees > 180 else degrees + 360 if degrees < -180 else degrees
    if abs(degrees) == 180:
        return choose(facts.key, ("把图片上下颠倒", "将图片旋转180度"))
    return choose(facts.key, ("把图片{1}时针旋转{0:g}度", "将画面{1}时针转{0:g}度")).format(
        abs(degrees), "顺" if degrees > 0 else "逆"
    )


def _flip(facts: Any, choose: Any) -> str:
    axis = {"horizontal": "水平", "vertical": "垂直"}[(facts.after or facts.before)["axis"]]
    return choose(facts.key, ("把图片{0}翻转", "将画面{0}镜像")).format(axis)


def _straighten(facts: Any, choose: Any) -> str:
    if facts.after is None:
        return choose(facts.key, ("把倾斜的画面扶正", "将歪斜的画面校正"))
    degrees = float(facts.after["degrees"])
    way = "逆" if degrees > 0 else "顺"
    return choose(facts.key, ("让画面{1}时针倾斜{0:g}度", "让画面稍微向{1}时针方向倾斜")).format(
        abs(degrees), way
    )


def foreign(facts: Any) -> str:
    """在别处完成的编辑自带说法；没有返回的说法。"""
    if facts.before is not None:
        raise KeyError("the way back from a version made elsewhere")
    return facts.after["instruction"]["zh"].strip().rstrip("。 ")


_OWN = {
    "object.add": _add,
    "object.move": _move,
    "object.resize": _resize,
    "object.turn": _turn,
    "object.count": _count,
    "scene.background": _background,
    "scene.weather": _weather,
    "scene.light": _light,
    "style.to_photo": _to_photo,
    "pixel.brightness": _more_or_less(("{0}调亮图片", "让画面亮{1}"), ("{0}调暗图片", "让画面暗{1}")),
    "pixel.contrast": _more_or_less(
        ("{0}提高对比度", "让明暗反差大{1}"), ("{0}降低对比度", "让明暗反差小{1}")
    ),
    "pixel.saturation": _more_or_less(("让色彩鲜艳{1}", "{0}提高饱和度"), ("让色彩淡{1}", "{0}降低饱和度")),
    "pixel.temperature": _more_or_less(
        ("让色调偏暖{1}", "把白平衡{0}调暖"), ("让色调偏冷{1}", "把白平衡{0}调得偏冷")
    ),
    "pixel.sharpness": _more_or_less(("{0}锐化图片", "让画面锐利{1}"), ("{0}柔化图片", "让画面柔和{1}")),
    "pixel.gamma": _more_or_less(("{0}提亮中间调",), ("{0}压暗中间调",)),
    "geometry.crop": _crop,
    "geometry.outpaint": _outpaint,
    "geometry.rotate": _rotate,
    "geometry.flip": _flip,
    "geometry.straighten": _straighten,
}

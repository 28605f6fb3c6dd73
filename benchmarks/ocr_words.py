"""Words on the posters of `caption_ocr.py`, written for it, and the fonts they are set in."""

from __future__ import annotations

import importlib.util
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fontTools.ttLib import TTCollection, TTFont
from PIL import ImageFont

EN = {
    "who": "Harbor Northern Golden Silent Paper Winter River Little Crystal Royal Urban Velvet Cedar Maple Sunset "
    "Blue Copper Granite Willow Phoenix Jasmine Summit Pacific Quiet Vintage".split(),
    "what": "Gallery Bakery Museum Festival Orchestra Library Market Hotel Theatre Workshop Cinema Garden Studio "
    "Railway Marathon Bookshop Exhibition Kitchen Academy Fair Café Observatory Clinic Brewery".split(),
    "say": [
        "Fresh bread and coffee every morning", "Please mind the gap between the train and the platform",
        "An evening of quiet music by the river", "Doors open half an hour before the show",
        "Children under twelve enter for free", "Handmade with patience since the very first day",
        "Do not leave your luggage unattended", "Learn to paint in eight easy lessons",
        "The last bus leaves at the stroke of midnight", "Buy two and get the third at half price",
        "Photography is not allowed in this room", "Local honey, cheese and seasonal vegetables",
        "A journey through five centuries of light", "Thank you for keeping this beach clean",
        "Reservations are recommended on weekends", "No experience needed, just bring comfortable shoes",
        "Caution: the floor may be slippery when wet", "Your smile is the best thing you can wear",
        "Subject to change without further notice", "We don't serve breakfast after 11 o'clock",
    ],
    "item": "Espresso|Tomato soup|Grilled salmon|Apple pie|Green tea|Mushroom risotto|Lemonade|Garlic bread|"
    "Roast chicken|Vanilla ice cream|Fried rice|Onion rings|Hot chocolate|Greek salad".split("|"),
    "fact": ["Tel. 020-{a:04d} {b:04d}", "Open {h}:00 - {k}:30", "Room {n}", "Level {n}, Gate {g}", "Sale {p}% OFF",
             "May {d}, {y}", "Only ${n}.{m:02d}", "{y}/{o:02d}/{d:02d}", "No. {a}", "Hall {g} & {g}2", "{n} km"],
}  # fmt: skip
ZH = {
    "who": "江南 长风 云水 青石 半山 听雨 东方 红枫 明月 星河 小城 旧时光 海棠 松间 桃源 北岸 老城 金色 蓝鲸 晨曦".split(),
    "what": "书店 茶馆 美术馆 音乐节 咖啡厅 图书馆 博物馆 面包房 电影院 火锅店 酒店 市集 展览 学校 剧场 花园 工作室 医院".split(),
    "say": [
        "欢迎来到我们的小店", "请保持安静，禁止吸烟", "每天清晨新鲜出炉", "限时优惠，先到先得", "前方道路施工请绕行",
        "认识身边的一百种植物", "用镜头记录城市的变迁", "儿童与老人免费参观", "学习使人进步，阅读让人充实", "注意安全，小心台阶",
        "本店支持手机支付", "传统工艺，匠心制作", "感谢您的光临与支持", "请勿随意触摸展品", "冬季滑雪训练营火热报名中",
        "健康饮食，快乐生活", "最终解释权归主办方所有", "让孩子爱上科学实验", "夜晚的灯火照亮回家的路", "精选优质食材，绝不添加防腐剂",
        "垃圾分类从我做起", "凭票入场，谢绝外带饮料",
    ],
    "item": "红烧牛肉面|麻婆豆腐|清蒸鲈鱼|宫保鸡丁|酸辣土豆丝|绿豆汤|桂花糕|番茄炒蛋|铁观音|羊肉串|蛋炒饭|冰糖葫芦".split("|"),
    "fact": ["电话：{a:04d}{b:04d}", "营业时间 {h}:00-{k}:30", "{n}号厅", "全场{g}折起", "{y}年{o}月{d}日", "仅售¥{n}元",
             "地铁{g}号线", "第{g}届", "满{n}减{g}0", "（共{n}席）", "WiFi密码：{a:04d}{b:04d}", "VIP会员专享"],
}  # fmt: skip


@dataclass(frozen=True)
class Face:
    """A font file and the face in it."""

    path: str
    index: int
    chinese: bool

    @property
    def name(self) -> str:
        return f"{Path(self.path).stem}#{self.index}" if self.index else Path(self.path).stem

    def draws(self, text: str) -> bool:
        return all(c.isspace() or ord(c) in _letters(self.path, self.index) for c in text)


@cache
def _letters(path: str, index: int) -> frozenset[int]:
    if path.lower().endswith(".ttc"):
        return frozenset(TTCollection(path, lazy=True).fonts[index].getBestCmap())
    return frozenset(TTFont(path, lazy=True).getBestCmap())


@cache
def font_of(face: Face, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(face.path, size_px, index=face.index)


def bundled_faces() -> list[Face]:
    """Fonts that come with the matplotlib and mplfonts packages."""
    faces = []
    for package, folder, chinese in (
        ("matplotlib", "mpl-data/fonts/ttf", False),
        ("mplfonts", "fonts", True),
    ):
        spec = importlib.util.find_spec(package)
        files = sorted((Path(spec.origin).parent / folder).glob("*.[ot]tf")) if spec and spec.origin else []
        faces += [Face(str(f), 0, chinese) for f in files if chinese or f.name.startswith("DejaVu")]
    return [f for f in faces if "Display" not in f.name]


#: Faces that show letters in a form of their own (initials, keys, symbols, math).
_ODD = (
    "Initials",
    "_I.",
    "_K.",
    "math",
    "Math",
    "Symbol",
    "DejaVu",
    "Display",
    "Emoji",
    "Icon",
    "Awesome",
    "Mono",
)


def system_faces() -> list[Face]:
    """Fonts fontconfig knows that draw English or simplified Chinese, without those of `bundled_faces`."""
    faces = []
    for lang, chinese in (("en", False), ("zh-cn", True)):
        command = ["fc-list", f":lang={lang}", "file", "index", "family"]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for row in sorted(set(listing.splitlines())):
            path, _, rest = row.partition(":")
            index = int(rest.partition("index=")[2] or 0) & 0xFFFF
            cjk = "CJK" in rest
            if cjk != chinese or (cjk and " SC" not in rest) or any(odd in row for odd in _ODD):
                continue
            faces.append(Face(path, index, chinese))
    return faces


def use_texts(lines: list[str]) -> None:
    """Take sentences from a list instead of those written for this benchmark, by their language."""
    chinese = [s for s in lines if sum("\u4e00" <= c <= "\u9fff" for c in s) * 2 > len(s)]
    english = [s for s in lines if s.isascii() and "{" not in s and "}" not in s]
    EN["say"], ZH["say"] = english or EN["say"], [s for s in chinese if "{" not in s] or ZH["say"]

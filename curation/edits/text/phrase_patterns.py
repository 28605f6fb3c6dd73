"""Texts put together from parts: names, prices, hours, numbers. There are more of them than any list holds.

Written for this package; every part and every whole is of a kind that stands on signs, packages and posters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

_EN_WORDS = {
    "kind": "Golden Silver Blue Red Green Little Grand Old New Happy Lucky Royal Quiet Wild Bright Sunny Northern "
    "Eastern Modern Simple Secret Velvet Crystal Copper Cozy Hidden",
    "thing": "Dragon Lantern Garden Harbor River Mountain Bakery Kitchen Tavern Market Gallery Studio Cinema Theater "
    "Museum Hotel Palace Cottage Orchard Meadow Forest Island Lighthouse Station Bridge Corner Library Workshop Temple "
    "Panda Phoenix Sparrow Rabbit Whale Maple Lotus Bamboo Peony",
    "taste": "Fresh Sweet Crispy Pure Homemade Organic Golden Warm Italian Chinese Classic Daily",
    "food": "Coffee Tea Noodles Dumplings Bread Pancakes Cheese Honey Apples Oranges Grapes Salad Soup Pizza Pasta "
    "Cookies Juice Yogurt Sandwiches Tofu Rice Cake",
    "event": "Festival Concert Exhibition Workshop Marathon Lecture Parade Market Tournament Conference Auction Ball",
    "month": "January February March April May June July August September October November December",
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "street": "Oak Elm Cedar River King Queen Station Church Mill Park Hill Lake",
    "verb": "Discover Explore Enjoy Protect Remember Share Follow Imagine",
    "what": "the City;Your Future;the Moment;Our Planet;Good Food;New Places;the Classics;Every Season;Old Friends",
    "sign": "Keep Out;Please Wait;Danger;Caution;Ring Bell;No Entry;Fresh Paint;Wrong Way;Mind Your Step;Lights On",
    "caps": "OPENING SOON;LAST CHANCE;ON AIR;HOT DEAL;CLEARANCE;SPECIAL OFFER;TASTE IT;BE BRAVE;GAME OVER;LEVEL UP",
}
_EN = (
    ("{kind} {thing}", 6),
    ("The {kind} {thing}", 3),
    ("{taste} {food}", 3),
    ("{thing} & {thing}", 2),
    ("{food} of the Day", 1),
    ("{verb} {what}", 3),
    ("{thing} {event}", 2),
    ("{event} {year}", 1),
    ("{day}, {month} {date}", 2),
    ("{month} {date}, {year}", 1),
    ("{number} {street} Street", 2),
    ("Only ${price}", 2),
    ("${price} each", 1),
    ("{percent}% Off {food}", 2),
    ("Open {hour} to {hour}", 1),
    ("Room {number}", 1),
    ("Flight {code} {number}", 1),
    ("No. {small} {thing}", 1),
    ("Page {small} of {number}", 1),
    ("Tel. {phone}", 1),
    ("{sign}", 2),
    ("{caps}", 3),
)
_ZH_WORDS = {
    "front": "东方 南山 西湖 北国 江南 长安 云水 青山 碧海 金色 银河 红叶 绿野 老城 新城 幸福 快乐 阳光 春风 明月 "
    "星光 天府 龙门 凤凰 玉兰 桂花 梧桐 荷塘",
    "shop": "书店 茶馆 酒楼 面馆 饭店 超市 药房 花店 照相馆 理发店 小学 中学 医院 宾馆 影城 公园 图书馆 美术馆 "
    "咖啡厅 健身房 文具店 水果店 服装城 家具城 早餐店",
    "food": "牛肉面 小笼包 酸辣粉 羊肉串 绿豆汤 红烧肉 糖醋鱼 麻婆豆腐 鸡蛋饼 南瓜粥 葡萄干 苹果汁 草莓酱 "
    "芝麻糊 核桃酥 铁观音 龙井茶 菠萝蜜 水煮鱼 炸酱面",
    "thing": "自行车 电脑 雨伞 皮鞋 衬衫 围巾 手套 台灯 书包 钢笔 地图 毛巾 茶杯 风筝 吉他 钢琴 相机 手表",
    "event": "音乐节 读书会 美食节 灯会 庙会 运动会 摄影展 书法展 演唱会 招聘会 年会 讲座 展览",
    "do": "珍惜 热爱 保护 享受 关注 发现 记录 分享",
    "what": "自然 生活 家园 时间 美食 健康 城市 阅读 每一天 好朋友 大海 森林",
    "please": "请勿停车 请勿入内 小心台阶 保持安静 注意防火 谢绝推销 爱护公物 文明排队 请走侧门 禁止攀爬 当心落石",
    "digit": "一 二 三 四 五 六 七 八 九 十",
    "mixed": "24小时营业 免费Wi-Fi VIP会员专享 KTV量贩 5A级景区 T恤特价 A座3楼 B1停车场 AI绘画展 DIY手工坊 SPA养生馆 "
    "K歌之王 LED灯具 APP下载 PK大赛 No.1人气招牌 咖啡COFFEE 新品NEW 特价SALE 你好HELLO",
}
_ZH = (
    ("{front}{shop}", 6),
    ("{front}{event}", 2),
    ("{food}{yuan}元", 2),
    ("{thing}{fold}折起", 1),
    ("招牌{food}", 1),
    ("正宗{food}", 1),
    ("{do}{what}", 3),
    ("{please}", 3),
    ("第{digit}章", 1),
    ("{date}月{date}日", 1),
    ("{year}年{event}", 1),
    ("每斤{yuan}元", 1),
    ("{number}号房", 1),
    ("热线{phone}", 1),
    ("{front}路{number}号", 2),
    ("第{small}届{event}", 1),
    ("{mixed}", 3),
)
_NUMBERS = {
    "year": (1950, 2036),
    "date": (1, 13),
    "number": (101, 999),
    "small": (1, 40),
    "hour": (6, 12),
    "yuan": (3, 99),
    "fold": (3, 10),
}
_FIELD = re.compile(r"\{(\w+)\}")


def composed(language: str, rng: np.random.Generator) -> str:
    """A text in `en` or `zh`, at most 40 characters."""
    patterns, words = (_EN, _SPLIT_EN) if language == "en" else (_ZH, _SPLIT_ZH)
    weights = np.array([w for _, w in patterns], float)
    pattern = patterns[int(rng.choice(len(patterns), p=weights / weights.sum()))][0]
    return _FIELD.sub(lambda found: _part(found[1], words, rng), pattern)


def _part(name: str, words: Mapping[str, Sequence[str]], rng: np.random.Generator) -> str:
    if name in words:
        return words[name][int(rng.integers(len(words[name])))]
    if name in _NUMBERS:
        return str(rng.integers(*_NUMBERS[name]))
    if name == "price":
        return f"{rng.integers(1, 200)}" + ("", ".50", ".99", ".95")[int(rng.integers(4))]
    if name == "percent":
        return str(5 * rng.integers(1, 16))
    if name == "code":
        return "".join("ABCDEFGHJKLMNPRSTUVW"[i] for i in rng.integers(20, size=2))
    return f"{rng.integers(200, 999)}-{rng.integers(1000, 9999)}"  # a telephone number


def _split(table: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: part.split(";") if ";" in part else part.split() for name, part in table.items()}


_SPLIT_EN, _SPLIT_ZH = _split(_EN_WORDS), _split(_ZH_WORDS)

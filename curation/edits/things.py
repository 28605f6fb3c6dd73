"""Names of everyday things in both languages, with the measure words Chinese asks for. A label that is not here has no name.

A picture's own captions give better names; this table is for collections whose only words are class labels.
"""

from __future__ import annotations

import re
from functools import lru_cache

from .color_names import ZH as COLORS
from .phrases import Referent

#: label (singular, may have aliases after a slash), Chinese name, measure word; `*` before a plural-only noun.
_TABLE = """
person/man/woman 人 个|dog/puppy/corgi 狗 只|cat/kitten 猫 只|bird 鸟 只|horse 马 匹|cow 牛 头|sheep 绵羊 只|elephant 大象 头
bear 熊 只|zebra 斑马 匹|giraffe 长颈鹿 只|rabbit 兔子 只|duck 鸭子 只|fish 鱼 条|butterfly 蝴蝶 只|turtle 乌龟 只
dress 连衣裙 条|t-shirt/tshirt/tee T恤 件|shirt 衬衫 件|long-sleeved shirt/longsleeve/long sleeve/long-sleeve 长袖衫 件|skirt 短裙 条|*pants/trousers 长裤 条
*shorts 短裤 条|hat/cap 帽子 顶|jacket/outwear/coat 外套 件|*shoes 鞋子 双|shoe/sneaker 鞋 只|sweater 毛衣 件|hoodie 连帽衫 件
blouse 女式衬衫 件|polo POLO衫 件|undershirt 背心 件|blazer 西装外套 件|body 连体衣 件|top 上衣 件|sock 袜子 只|scarf 围巾 条|tie 领带 条|glove 手套 只
backpack 背包 个|handbag/bag 手提包 个|suitcase 行李箱 个|umbrella 雨伞 把|*glasses/sunglasses 眼镜 副|watch 手表 块|ring 戒指 枚
cup/mug 杯子 只|bottle 瓶子 个|wine glass 酒杯 只|fork 叉子 把|knife 刀 把|spoon 勺子 把|bowl 碗 只|plate 盘子 只|teapot 茶壶 把|can 罐子 个|vase 花瓶 只|pot 锅 口|candle 蜡烛 支
banana 香蕉 根|apple 苹果 个|orange 橙子 个|lemon 柠檬 个|strawberry 草莓 颗|carrot 胡萝卜 根|broccoli 西兰花 棵|sandwich 三明治 个|pizza 披萨 张|cake 蛋糕 块|donut 甜甜圈 个|egg 鸡蛋 个|bread 面包 个
chair 椅子 把|couch/sofa 沙发 张|bed 床 张|table 桌子 张|toilet 马桶 个|lamp 台灯 盏|clock/alarm clock 时钟 座|book 书 本|mirror 镜子 面|pillow 枕头 个|plant/potted plant 盆栽 盆|flower 花 朵|tree 树 棵
tv/television 电视 台|laptop 笔记本电脑 台|mouse 鼠标 个|keyboard 键盘 个|phone/cell phone 手机 部|camera 相机 台|microwave 微波炉 台|oven 烤箱 台|toaster 烤面包机 台|refrigerator 冰箱 台|robot toy 机器人玩具 个
car/rc car 汽车 辆|truck 卡车 辆|bus 公交车 辆|train 火车 列|motorcycle 摩托车 辆|bicycle/bike 自行车 辆|airplane 飞机 架|boat 船 条|skateboard 滑板 块|ball/sports ball 球 个|kite 风筝 只
teddy bear/stuffed animal/plushie/bear plushie 毛绒玩具 个|toy/duck toy 玩具 个|pen 笔 支|*scissors 剪刀 把|toothbrush 牙刷 支|box 盒子 个|coin 硬币 枚|key 钥匙 把|guitar 吉他 把|drum 鼓 面
"""


def referent_of(label: str | None, color: str | None = None) -> Referent | None:
    """What a thing of a class label is called, with its color; None for a label that is not in the table.

    Args:
        label: as folders and lists have it: case, underscores, trailing digits and plurals do not matter.
        color: a key of `color_names.FOCAL`, or None.
    """
    words = re.sub(r"[\s_]+", " ", (label or "").strip().lower()).rstrip("0123456789 -")
    found = _names().get(words) or _names().get(words.removesuffix("s"))
    if found is None:
        return None
    en, zh, measure, plural = found
    if color is not None:
        en, zh = f"{color} {en}", f"{COLORS[color]}{zh}"
    return Referent(en, zh, measure, plural, color)


@lru_cache(maxsize=1)
def _names() -> dict[str, tuple[str, str, str, bool]]:
    names: dict[str, tuple[str, str, str, bool]] = {}
    for entry in re.split(r"[|\n]", _TABLE.strip()):
        en, zh, measure = entry.rsplit(" ", 2)
        plural = en.startswith("*")
        aliases = en.lstrip("*").split("/")
        for alias in aliases:
            names[alias] = (aliases[0], zh, measure, plural)
    return names

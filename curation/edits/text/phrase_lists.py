"""Short texts as they stand on signs, posters, packages and screens: English, Chinese, and pairs that translate.

Written for this package. A file of one's own replaces them (`read_phrases`).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from .faults import TextSpecError
from .phrase_patterns import composed

LANGUAGES = ("en", "zh")
#: Longer texts are no signs and no headlines.
MAX_CHARACTERS = 60
#: Marks with which instructions quote; a text that holds them could not be quoted.
QUOTES = frozenset('"“”')

_PAIRS = """
Open|营业中;Closed|暂停营业;Exit|出口;Entrance|入口;No Smoking|禁止吸烟;No Parking|禁止停车;Fresh Coffee|现磨咖啡
Good Morning|早上好;Good Night|晚安;Thank You|谢谢;Welcome|欢迎光临;Happy New Year|新年快乐;Happy Birthday|生日快乐
Grand Opening|盛大开业;Summer Sale|夏季促销;Winter Sale|冬季促销;Half Price|半价优惠;Free Delivery|免费送货
Sold Out|已售罄;New Arrival|新品上市;Best Seller|畅销商品;Limited Edition|限量版;Buy One Get One|买一送一
Fresh Fruit|新鲜水果;Green Tea|绿茶;Black Tea|红茶;Orange Juice|橙汁;Ice Cream|冰淇淋;Beef Noodles|牛肉面
Fried Rice|炒饭;Spring Rolls|春卷;Hot Soup|热汤;Bakery|面包店;Bookstore|书店;Flower Shop|花店;Barber Shop|理发店
Post Office|邮局;City Library|城市图书馆;Art Museum|美术馆;Night Market|夜市;Train Station|火车站;Bus Stop|公交站
Parking Lot|停车场;Fire Exit|消防通道;Emergency|紧急情况;First Aid|急救;Information|问讯处;Ticket Office|售票处
Waiting Room|候车室;Meeting Room|会议室;Quiet Please|请保持安静;Wet Floor|小心地滑;Mind the Step|注意台阶
Push|推;Pull|拉;Do Not Touch|请勿触摸;Keep Left|靠左行驶;Slow Down|减速慢行;Road Closed|道路封闭;One Way|单行道
Turn Right|向右转;School Zone|学校区域;Watch Your Head|小心碰头;High Voltage|高压危险;Staff Only|员工专用
Cash Only|只收现金;Free Wi-Fi|免费上网;Order Here|在此点餐;Pick Up Here|在此取餐;Today's Special|今日特价
Weekend Party|周末派对;Live Music|现场音乐;Film Festival|电影节;Jazz Night|爵士之夜;Open Day|开放日
Job Fair|招聘会;Book Fair|书展;Science Week|科学周;Sports Day|运动会;Yoga Class|瑜伽课;Cooking Class|烹饪课
Save Water|节约用水;Save the Ocean|保护海洋;Plant a Tree|种一棵树;Go Green|绿色出行;Stay Healthy|保持健康
Never Give Up|永不放弃;Dream Big|心怀梦想;Be Kind|与人为善;Enjoy Life|享受生活;Keep Smiling|保持微笑
Mountain Trail|登山步道;Sunny Beach|阳光海滩;Lake View|湖景;Morning Market|早市;Old Town|老城区;Sea Breeze|海风
Home Sweet Home|温馨的家;Made by Hand|手工制作;Handle with Care|小心轻放;This Side Up|此面朝上;Keep Dry|防潮
Best Before|保质期;Organic Milk|有机牛奶;Pure Honey|纯正蜂蜜;Spicy|辣味;Sugar Free|无糖;Chapter One|第一章
The End|剧终;Breaking News|突发新闻;Weather Report|天气预报;Live Now|正在直播;Coming Soon|即将上映;Episode 3|第3集
Room 208|208房间;Gate 12|12号登机口;Platform 9|9号站台;Floor 5|5楼;Only 3 Left|仅剩3件;20% Off|八折优惠
"""

_EN = """
Midnight Diner;River House;Blue Lagoon;Corner Cafe;Golden Gate Tours;The Daily Grind;Maple Street;North Star Hotel
Little Harbor;Sunset Boulevard;Studio 54;Route 66;Green Valley Farm;Silver Moon;Cloud Nine;The Red Door;Paper Planes
Wild Roses;Stone Bridge;Pine & Oak;Hello World;Just Do Good;Time to Shine;Less Is More;Made With Love;Since 1987
Est. 1924;Vol. 12;Issue No. 7;Spring 2025;June 14;Friday 8 PM;Mon-Fri 9-5;24 Hours;Call 555-0142;$9.99;$24.50
$149;2 for $5;Save 30%;50% OFF;Up to 70% Off;Now $12.80;From $89;Per Person $35;MENU;SALE;WOW;HELLO;STOP;GO;VIP;NEW
COFFEE;PIZZA;BURGERS;TACOS;SUSHI BAR;RAMEN;SALAD BAR;FISH & CHIPS;HOT DOGS;DONUTS;LEMONADE;CHOCOLATE;VANILLA
Mango Smoothie;Daily Bread;Farm to Table;Taste the Sun;Every Drop Counts;Think Ahead;Move Faster;Built to Last
Your City, Your Story;Find Your Way;Run for Fun;Read More Books;Space Explorers;Garden Concert;Winter Lights
Photo Exhibition;Robot Workshop;Chess Club;Swimming Pool;Lost and Found;Please Ring the Bell;Beware of the Dog
Recycle Here;Charge Your Phone;Sign Up Today;Tickets on Sale;Free Entry;Doors at Seven;Meet the Author;Open Studio
The Quiet Forest;A Walk in the Rain;Letters from Home;Stars over the Sea;Ten Small Steps
"""

_ZH = """
清风茶馆;星河书屋;老街面馆;江南小厨;山水客栈;云上咖啡;蓝海酒店;竹林小院;月光影院;春天花坊;四季果园;小城故事
长江大桥;中山公园;人民广场;解放路;建设银行;阳光小学;第一中学;儿童乐园;科技馆;天文台;植物园;动物园;体育馆;音乐厅
特价9.9元;每斤12元;全场五折;满100减20;第二杯半价;会员专享;限时抢购;清仓甩卖;开业大吉;年终盛典;周年店庆;厂家直销
手工水饺;麻辣火锅;红烧排骨;清蒸鲈鱼;番茄炒蛋;宫保鸡丁;重庆小面;桂花糕;豆浆油条;小笼包;烤鸭;凉茶;奶茶;酸梅汤;米酒
欢迎您再来;请排队等候;请出示车票;请随手关门;请勿喧哗;请勿拍照;闲人免进;前方施工;注意安全;当心触电;禁止游泳;爱护花草
节约粮食;讲究卫生;尊老爱幼;团结友爱;勤奋好学;天道酬勤;厚德载物;宁静致远;自强不息;学海无涯;花好月圆;万事如意;恭喜发财
福;喜;茶;酒;梦;平安;吉祥;如意;幸福;春;夏;秋;冬;好运来;加油;努力;青春;远方;回家;时光;故乡的云;雨后初晴;静待花开
城市夜跑;亲子运动会;摄影大赛;校园歌手;创意集市;冬日暖阳;海边日落;雪山之旅;草原牧歌;丝绸之路;古镇一日游;周末去哪儿
上午9点;下午3点半;2025年春;第8期;热线电话;扫码关注;免费试吃;新店开张;今日推荐;人气招牌;每日鲜奶;纯手工皂;百年老店
"""


@dataclass(frozen=True)
class Phrases:
    """Texts by language, and translations: `translations[language][text]` is the text in the other language.

    `refused`: lines of a file that cannot be used, by reason. `composed_share`: of drawn texts, how many are put
    together from parts (`phrase_patterns.py`).
    """

    texts: Mapping[str, Sequence[str]]
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    composed_share: float = 0.0

    def draw(self, language: str, rng: np.random.Generator) -> str:
        """A text in a language. TextSpecError where there is none."""
        if self.composed_share and rng.random() < self.composed_share:
            return composed(language, rng)
        if not self.texts[language]:
            raise TextSpecError(
                f"the phrases hold no text in {language!r}; add some, or say which language to use"
            )
        return self.texts[language][int(rng.integers(len(self.texts[language])))]

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(language for language in LANGUAGES if self.texts[language] or self.composed_share)

    def translated(self, text: str, language: str) -> str | None:
        """A text of some lines in the other language; None where a line of it has no translation."""
        lines = [self.translations.get(language, {}).get(line) for line in text.split("\n")]
        return None if None in lines else "\n".join(lines)


@lru_cache(maxsize=1)
def bundled() -> Phrases:
    """The texts of this module, at least 150 in each language, and as many again put together from parts."""
    lists = _phrases(
        [tuple(entry.split("|")) for entry in _entries(_PAIRS)],
        {"en": _entries(_EN), "zh": _entries(_ZH)},
        Counter(),
    )
    return replace(lists, composed_share=0.5)


def read_phrases(path: str | Path) -> Phrases:
    """Texts of a UTF-8 file: one a line, or English and Chinese that translate each other with a tab between.

    Lines that are empty, longer than `MAX_CHARACTERS`, or hold quotation or control marks are left out and counted.

    Raises:
        TextSpecError: the file cannot be read, or nothing is left of it.
    """
    try:
        lines = Path(path).expanduser().read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise TextSpecError(f"phrases {str(path)!r} cannot be read as UTF-8 text: {e}") from e
    pairs: list[tuple[str, str]] = []
    texts: dict[str, list[str]] = {language: [] for language in LANGUAGES}
    refused: Counter[str] = Counter()
    for line in lines:
        cells = [unicodedata.normalize("NFC", cell.strip()) for cell in line.split("\t")]
        reason = next((r for r in map(unusable, cells) if r), None)
        if reason or len(cells) > 2:
            refused[reason or "more than two columns"] += 1
        elif len(cells) == 1:
            texts[language_of(cells[0])].append(cells[0])
        elif [language_of(c) for c in cells] == ["en", "zh"]:
            pairs.append((cells[0], cells[1]))
        else:
            refused["not English and Chinese"] += 1
    if not pairs and not any(texts.values()):
        raise TextSpecError(f"phrases {str(path)!r} hold no usable line: {dict(refused)}")
    return _phrases(pairs, texts, refused)


def unusable(text: str, most: int = MAX_CHARACTERS) -> str | None:
    """Why a text of at most so many characters cannot be drawn and quoted; None if it can."""
    if not text.strip():
        return "empty"
    if len(text) > most:
        return "too long"
    if QUOTES & set(text):
        return "quotation marks"
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn") and c != "\n" for c in text):
        return "control characters"
    if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text):
        return "right-to-left script"
    return None


def language_of(text: str) -> str:
    """`zh` if a text holds a Chinese character, else `en`."""
    return "zh" if any("\u3400" <= c <= "\u9fff" for c in text) else "en"


def _entries(table: str) -> list[str]:
    return [entry for line in table.strip().splitlines() for entry in line.split(";")]


def _phrases(
    pairs: Sequence[tuple[str, ...]], texts: Mapping[str, Sequence[str]], refused: Counter[str]
) -> Phrases:
    to_zh, to_en = {en: zh for en, zh in pairs}, {zh: en for en, zh in pairs}
    return Phrases(
        {
            "en": tuple(dict.fromkeys([*to_zh, *texts["en"]])),
            "zh": tuple(dict.fromkeys([*to_en, *texts["zh"]])),
        },
        {"en": to_zh, "zh": to_en},
        dict(refused),
    )

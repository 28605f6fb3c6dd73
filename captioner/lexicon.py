"""A small bilingual dictionary of things pictures show, written by hand.

It lets the template engine name a thing in both languages when its source named it in one, and
folds `帽子` and `hat` into one concept. A word that is not here is kept as it came, never guessed at.
"""

from __future__ import annotations

import re
from functools import lru_cache

# One entry each: English (singular), then Chinese; further Chinese words after a slash are aliases.
_ENTRIES = """
hat 帽子|cap 鸭舌帽|helmet 头盔|scarf 围巾|glove 手套|shirt 衬衫/衬衣|t-shirt T恤/T恤衫|long-sleeved shirt 长袖上衣|sweater 毛衣
hoodie 连帽衫|jacket 夹克|coat 大衣/外套|outerwear 外衣|dress 连衣裙|skirt 短裙/裙子|pants 裤子/长裤|shorts 短裤|jeans 牛仔裤
suit 西装|tie 领带|shoe 鞋子/鞋|sneaker 运动鞋|boot 靴子|sandal 凉鞋|sock 袜子|bag 包|handbag 手提包|backpack 背包|wallet 钱包
belt 腰带|watch 手表|ring 戒指|necklace 项链|earring 耳环|glasses 眼镜|sunglasses 太阳镜|umbrella 雨伞|uniform 制服|wedding dress 婚纱
person 人|people 人们|man 男人/男士|woman 女人/女士|boy 男孩|girl 女孩|child 孩子/儿童|baby 婴儿|couple 情侣/夫妻|family 家庭/全家|crowd 人群
face 脸|hand 手|portrait 肖像|astronaut 宇航员|doctor 医生|teacher 老师|chef 厨师|soldier 士兵|bride 新娘|dancer 舞者|athlete 运动员
dog 狗/小狗|cat 猫/小猫|bird 鸟|horse 马|cow 牛/奶牛|sheep 羊|pig 猪|chicken 鸡|duck 鸭子|rabbit 兔子|fish 鱼|goldfish 金鱼|bear 熊
panda 熊猫|tiger 老虎|lion 狮子|elephant 大象|monkey 猴子|giraffe 长颈鹿|zebra 斑马|deer 鹿|wolf 狼|fox 狐狸|snake 蛇|turtle 乌龟|frog 青蛙
butterfly 蝴蝶|bee 蜜蜂|spider 蜘蛛|whale 鲸鱼|dolphin 海豚|shark 鲨鱼|penguin 企鹅|owl 猫头鹰|eagle 老鹰|dragon 龙|dinosaur 恐龙
tree 树/大树|flower 花/花朵|rose 玫瑰|tulip 郁金香|sunflower 向日葵|grass 草/草地|leaf 叶子/树叶|forest 森林|bamboo 竹子|cactus 仙人掌|garden 花园
mountain 山/高山|hill 小山|river 河/河流|lake 湖/湖泊|sea 大海|ocean 海洋|beach 海滩/沙滩|island 岛屿|desert 沙漠|waterfall 瀑布|sky 天空|cloud 云
sun 太阳|moon 月亮|star 星星|galaxy 星系|sunset 日落|sunrise 日出|snow 雪|ice 冰|rain 雨|rainbow 彩虹|fire 火|smoke 烟|rock 岩石|stone 石头|field 田野
house 房子|building 建筑/大楼|skyscraper 摩天大楼|tower 塔|castle 城堡|church 教堂|temple 寺庙/庙|palace 宫殿|bridge 桥|street 街道|road 道路|city 城市
village 村庄|park 公园|square 广场|market 市场|shop 商店|restaurant 餐厅/餐馆|school 学校|hospital 医院|library 图书馆|museum 博物馆|station 车站|airport 机场
room 房间|bedroom 卧室|kitchen 厨房|bathroom 浴室|office 办公室|garage 车库|stairs 楼梯|window 窗户|door 门|wall 墙|roof 屋顶|fence 栅栏|fountain 喷泉
car 汽车|truck 卡车|bus 公交车/巴士|train 火车|tram 电车|bicycle 自行车|motorcycle 摩托车|airplane 飞机|helicopter 直升机|boat 小船|ship 轮船|rocket 火箭
spaceship 飞船|wheel 车轮|traffic light 红绿灯|table 桌子|chair 椅子|sofa 沙发|bed 床|lamp 灯/台灯|mirror 镜子|clock 钟|vase 花瓶|candle 蜡烛|box 盒子|basket 篮子
bottle 瓶子|cup 杯子|mug 马克杯|plate 盘子|bowl 碗|spoon 勺子|fork 叉子|knife 刀|chopsticks 筷子|pot 锅|book 书|magazine 杂志|newspaper 报纸|letter 信
pen 笔|pencil 铅笔|paper 纸|map 地图|flag 旗帜|sign 招牌/标志|poster 海报|sticker 贴纸|badge 徽章|card 卡片|ticket 票|receipt 收据|menu 菜单|logo 标志图案|diagram 图表
computer 电脑|laptop 笔记本电脑|keyboard 键盘|phone 电话|smartphone 手机|camera 相机|television 电视|screen 屏幕|robot 机器人|toy 玩具|doll 娃娃|teddy bear 泰迪熊
figurine 手办|ball 球|balloon 气球|gift 礼物|coin 硬币|key 钥匙|crown 皇冠|sword 剑|guitar 吉他|piano 钢琴|violin 小提琴|drum 鼓|statue 雕像|sculpture 雕塑|painting 绘画/油画
drawing 图画|cartoon 卡通/漫画|illustration 插画|icon 图标|food 食物|bread 面包|cake 蛋糕|cookie 饼干|pizza 披萨|hamburger 汉堡|sandwich 三明治|noodles 面条|rice 米饭
dumpling 饺子|soup 汤|salad 沙拉|egg 鸡蛋|meat 肉|cheese 奶酪|fruit 水果|apple 苹果|banana 香蕉|orange fruit 橙子|lemon 柠檬|grape 葡萄|strawberry 草莓|watermelon 西瓜
peach 桃子|mango 芒果|vegetable 蔬菜|tomato 西红柿/番茄|potato 土豆|carrot 胡萝卜|corn 玉米|mushroom 蘑菇|chocolate 巧克力|candy 糖果|ice cream 冰淇淋|coffee 咖啡|tea 茶
milk 牛奶|juice 果汁|beer 啤酒|wine 葡萄酒|football 足球|basketball 篮球|tennis 网球|swimming 游泳|skiing 滑雪|surfing 冲浪|skateboard 滑板|wedding 婚礼|party 聚会
concert 音乐会|festival 节日|birthday 生日|christmas 圣诞节|spring festival 春节|spring 春天|summer 夏天|autumn 秋天|winter 冬天|night 夜晚/夜景|landscape 风景|brick 砖/砖墙
gravel 砾石|wood 木头|metal 金属|glass 玻璃|fabric 布料|wolf plushie 毛绒狼|plush toy 毛绒玩具|cell 细胞|retina 视网膜|planet 行星|earth 地球|volcano 火山|cave 洞穴
"""

#: Other spellings -> the entry they mean.
_ALIASES = {
    "tshirt": "t-shirt", "tee": "t-shirt", "tee shirt": "t-shirt", "longsleeve": "long-sleeved shirt",
    "long sleeve": "long-sleeved shirt", "outwear": "outerwear", "trousers": "pants", "denim": "jeans",
    "trainer": "sneaker", "kid": "child", "kids": "child", "children": "child", "men": "man", "women": "woman",
    "lady": "woman", "mice": "mouse", "leaves": "leaf", "knives": "knife", "wolves": "wolf", "puppy": "dog",
    "kitten": "cat", "bike": "bicycle", "motorbike": "motorcycle", "plane": "airplane", "aeroplane": "airplane",
    "automobile": "car", "tv": "television", "cell phone": "smartphone", "mobile phone": "smartphone",
    "photograph": "photo", "seaside": "beach", "burger": "hamburger", "doughnut": "donut", "fall": "autumn",
    "couch": "sofa", "cloudy sky": "cloud", "figure": "figurine", "action figure": "figurine",
}  # fmt: skip


@lru_cache(maxsize=1)
def english_to_chinese() -> dict[str, str]:
    """Entry -> its main Chinese word."""
    return {en: zh[0] for en, zh in _entries()}


@lru_cache(maxsize=1)
def chinese_to_english() -> dict[str, str]:
    """Every Chinese word and alias -> its entry. Spelled as `fold` would: lower case."""
    return {word.lower(): en for en, words in _entries() for word in words}


def english_aliases() -> dict[str, str]:
    """Other spelling -> entry."""
    return dict(_ALIASES)


@lru_cache(maxsize=1)
def _entries() -> tuple[tuple[str, tuple[str, ...]], ...]:
    entries = []
    for item in _ENTRIES.replace("\n", "|").split("|"):
        if item:
            english, chinese = item.rsplit(" ", 1)
            entries.append((english, tuple(chinese.split("/"))))
    return tuple(entries)


def entry_of(word: str) -> str | None:
    """The entry an English word or phrase means, trying aliases and simple plurals, or None."""
    words = " ".join(word.lower().replace("_", " ").split())
    for form in (words, *_singulars(words)):
        form = _ALIASES.get(form, form)
        if form in english_to_chinese():
            return form
    return chinese_to_english().get(words)


def _singulars(word: str) -> list[str]:
    if len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return []
    forms = [word[:-1]]
    if word.endswith("ies"):
        forms.insert(0, word[:-3] + "y")
    elif word.endswith("es"):
        forms.append(word[:-2])
    return forms


#: Words that also have a meaning that is no thing; alone in running text they are too doubtful.
_DOUBTFUL_IN_TEXT = frozenset(
    "watch ring letter sign fall square spring star field key card cell match park suit tie train ship face hand "
    "fire ice paper glass wood metal figure table wall plate fork book".split()
)


def is_doubtful(word: str) -> bool:
    """A word that is as often no thing: alone in a sentence, or as a folder's name, it proves nothing."""
    return word.lower() in _DOUBTFUL_IN_TEXT


def things_in(text: str, limit: int = 12) -> list[str]:
    """Entries named in running text of either language, in order, longest match first.

    English words that are as often verbs or abstract (watch, spring, sign) are skipped.
    """
    found: dict[str, None] = {}
    words = re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower())
    i = 0
    while i < len(words):
        step = 1
        for size in (3, 2, 1):
            phrase = " ".join(words[i : i + size])
            entry = entry_of(phrase) if len(words[i : i + size]) == size else None
            if entry and not (size == 1 and phrase in _DOUBTFUL_IN_TEXT):
                found[entry] = None
                step = size
                break
        i += step
    for entry in _chinese_things(text):
        found[entry] = None
    return list(found)[:limit]


def _chinese_things(text: str) -> list[str]:
    table = chinese_to_english()
    found, i = [], 0
    while i < len(text):
        # Single characters are skipped: 花 in 花费 or 马 in 马上 is no thing.
        for size in range(min(6, len(text) - i), 1, -1):
            word = text[i : i + size].lower()
            if word in table and "\u4e00" <= word[-1] <= "\u9fff":
                found.append(table[word])
                i += size
                break
        else:
            i += 1
    return found

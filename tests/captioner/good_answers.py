"""Answers as a good vision-language model gives them, for pictures of many kinds, with the lettering of each."""

from __future__ import annotations

from zcurate.captioner.checks import Known
from zcurate.captioner.schema import Entity, OcrString


def known_of(name: str) -> Known:
    picture = GOOD[name]
    answer = picture["answer"]
    strings = tuple(picture["ocr"])
    return Known(
        strings,
        tuple(dict.fromkeys(s.text for s in strings if s.legible)),
        tuple(Entity(**e) for e in answer["entities"]),
        tuple(answer["contradicted"]),
    )


def _answer(en, zh, entities=(), contradicted=()):
    kinds = ("long", "medium", "short", "tags", "user_prompts")
    return {
        "contradicted": list(contradicted),
        "entities": [dict(zip(("en", "zh", "kind", "source"), e, strict=True)) for e in entities],
        "en": dict(zip(kinds, en, strict=True)),
        "zh": dict(zip(kinds, zh, strict=True)),
    }


GOOD = {
    "poster": {
        "ocr": [
            OcrString("SPRING SALE", "en", carrier="poster", cell="top"),
            OcrString("30% OFF", "en", carrier="poster", cell="center"),
            OcrString("3.15–3.31", "und", carrier="poster", cell="bottom"),
        ],
        "answer": _answer(
            (
                "A red rectangular poster hangs on a gray brick wall, photographed straight on. At the top, large white capital "
                "letters read “SPRING SALE”. In the center, “30% OFF” is set in yellow bold type, slightly larger than the rest. "
                "A thin white line runs below it, and the dates “3.15–3.31” stand at the bottom in small white digits. Four pink "
                "paper flowers are glued to the corners. Daylight falls from the left, and the poster casts a narrow shadow on the "
                "mortar joints. Part of a black drain pipe is visible at the right edge.",
                "A red poster on a gray brick wall reads “SPRING SALE” and “30% OFF” in white and yellow letters, with the dates "
                "“3.15–3.31” below and pink paper flowers at its corners.",
                "A red poster with white and yellow lettering on a gray brick wall.",
                ["red poster", "gray brick wall", "paper flowers", "“SPRING SALE”", "30% OFF", "drain pipe", "daylight"],
                ["red sale poster", "poster with flowers on the corners", "a wall with a sign that says “30% OFF”"],
            ),
            (
                "一张红色长方形海报贴在灰色砖墙上，正面平视拍摄。顶部为白色大写字母“SPRING SALE”，中央用黄色粗体写着“30% OFF”，字号略大，"
                "其下有一条细白线，底部以小号白色数字标注日期“3.15–3.31”。海报四角各粘着一朵粉色纸花。光线从左侧照来，海报在砖缝上投下"
                "窄窄的阴影，右侧边缘露出一截黑色排水管。",
                "灰色砖墙上贴着红色海报，上面有白色的“SPRING SALE”和黄色的“30% OFF”，下方是日期“3.15–3.31”，四角饰有粉色纸花。",
                "灰色砖墙上的红色促销海报，配白色和黄色文字。",
                ["红色海报", "灰色砖墙", "纸花", "“SPRING SALE”", "“30% OFF”", "排水管"],
                ["红色促销海报", "四角有粉色花的海报", "写着“30% OFF”的墙"],
            ),
        ),
    },
    "tower": {
        "ocr": [],
        "answer": _answer(
            (
                "The Eiffel Tower rises behind the Seine at dusk, seen from the opposite bank at eye level. Its iron lattice is lit in "
                "yellow from within; two searchlight beams leave the top toward the right. On the river in the foreground, a white "
                "excursion boat with a glass roof passes from left to right, and its wake breaks the reflection of the lights. A "
                "stone bridge with three arches crosses the left third. The sky grades from orange at the horizon to dark blue.",
                "The Eiffel Tower, lit in yellow, stands behind the Seine at dusk. A white excursion boat passes in the foreground, and "
                "a stone bridge crosses the river on the left.",
                "The lit Eiffel Tower behind the Seine with a boat at dusk.",
                ["eiffel tower", "seine", "paris", "river", "1 boat", "stone bridge", "dusk", "cityscape", "photo"],
                ["eiffel tower at night", "paris river boat", "tower w lights pls"],
            ),
            (
                "黄昏时分的埃菲尔铁塔矗立在塞纳河对岸，平视角度拍摄。塔身的铁架由内部灯光照成黄色，塔顶向右射出两道探照灯光束。前景河面上，"
                "一艘玻璃顶的白色游船由左向右驶过，尾流打散了灯光的倒影。画面左侧三分之一处横跨一座三孔石桥。天空由地平线处的橙色渐变为深蓝色。",
                "黄昏中亮着黄色灯光的埃菲尔铁塔位于塞纳河畔，前景有一艘白色游船，左侧是一座三孔石桥。",
                "黄昏时塞纳河畔亮灯的埃菲尔铁塔与游船。",
                ["埃菲尔铁塔", "塞纳河", "巴黎", "游船", "石桥", "黄昏", "城市风光"],
                ["埃菲尔铁塔夜景", "巴黎的河和船", "画一座亮灯的铁塔"],
            ),
            (("Eiffel Tower", "埃菲尔铁塔", "place", "both"), ("Seine", "塞纳河", "place", "visual")),
            ("Tokyo Tower",),
        ),
    },
    "cat": {
        "ocr": [],
        "answer": _answer(
            (
                "A gray tabby cat with white paws lies on a wooden windowsill, its head turned toward the camera and its eyes half "
                "closed. Its tail hangs over the edge. Behind it, a window with a white frame shows blurred green leaves. To the right "
                "of the cat stands a terracotta pot with a small succulent. Soft light comes in from the window.",
                "A gray tabby cat with white paws lies on a wooden windowsill beside a terracotta pot with a succulent.",
                "A gray tabby cat lying on a wooden windowsill.",
                ["1 cat", "tabby", "gray fur", "white paws", "windowsill", "succulent", "indoor", "close-up"],
                ["cat on a windowsill", "sleepy gray kitty", "plant pot by the window"],
            ),
            (
                "一只灰色虎斑猫趴在木质窗台上，四爪雪白，头转向镜头，眼睛半闭，尾巴垂在窗台边缘。身后是白色窗框，窗外绿叶虚化。猫的右侧放着一盆"
                "栽在陶土盆里的多肉植物。柔和的光线从窗外照入。",
                "灰色虎斑猫趴在木窗台上，右侧放着一盆多肉植物，窗外绿叶虚化。",
                "趴在木窗台上的灰色虎斑猫。",
                ["一只猫", "虎斑猫", "灰色", "窗台", "多肉植物", "室内"],
                ["窗台上的猫", "猫咪打盹", "多肉盆栽和窗户"],
            ),
        ),
    },
    "product": {
        "ocr": [
            OcrString("SONY", "en", carrier="headphones", cell="center"),
            OcrString("WH-1000XM5", "en", carrier="box", cell="right"),
            OcrString("索尼无线降噪立体声耳机", "zh", carrier="box", cell="right"),
            OcrString("京A·88888", "zh", carrier="toy car", cell="bottom-left"),
        ],
        "answer": _answer(
            (
                "A pair of black Sony WH-1000XM5 over-ear headphones lies on a white desk, the left ear cup facing the camera. The "
                "band bears the small gray logo “SONY”. On the right stands the cardboard box of the product, printed “WH-1000XM5” in "
                "black and, below it, “索尼无线降噪立体声耳机” in gray. A toy car with the plate “京A·88888” is parked at the lower left. The "
                "background is a plain light gray, and even studio light leaves no hard shadows. The screen of a 27\" monitor is "
                "cut off by the upper edge.",
                "Black Sony WH-1000XM5 headphones lie on a white desk in front of their box, which reads “WH-1000XM5” and "
                "“索尼无线降噪立体声耳机”. A toy car stands at the lower left.",
                "Black Sony headphones with their box and a toy car on a white desk.",
                ["headphones", "sony wh-1000xm5", "product photo", "white desk", "box", "toy car", "“SONY”", "studio light"],
                ["black headphones on a desk", "sony headphones product shot", "box and toy car"],
            ),
            (
                "一副黑色索尼 Sony WH-1000XM5 头戴式耳机平放在白色桌面上，左侧耳罩朝向镜头，头梁上印有灰色小字“SONY”。右侧立着产品纸盒，"
                "黑色印刷“WH-1000XM5”，下方为灰色的“索尼无线降噪立体声耳机”。左下角停着一辆玩具车，车牌为“京A·88888”。背景是纯净的浅灰色，"
                "棚拍光线均匀，没有生硬的阴影。画面上缘截断了一台27英寸显示器的屏幕。",
                "白色桌面上放着黑色 Sony WH-1000XM5 耳机，旁边是印有“索尼无线降噪立体声耳机”的包装盒，左下角有一辆玩具车。",
                "白色桌面上的黑色索尼耳机、包装盒和玩具车。",
                ["耳机", "Sony WH-1000XM5", "产品摄影", "白色桌面", "包装盒", "玩具车", "索尼"],
                ["黑色耳机产品图", "索尼耳机", "桌上的玩具车"],
            ),
            (("Sony", "索尼", "brand", "visual"), ("Sony WH-1000XM5", "索尼 WH-1000XM5", "product", "visual")),
        ),
    },
    "ramen shop": {
        "ocr": [
            OcrString("ラーメン一番", "ja", carrier="shop sign", cell="top"),
            OcrString("営業中", "ja", carrier="wooden plate", cell="left"),
            OcrString("味噌 850円", "ja", carrier="menu", cell="right"),
            OcrString("醤油 800円", "ja", carrier="menu", cell="right"),
            OcrString("OPEN", "en", carrier="neon sign", cell="bottom-right"),
        ],
        "answer": _answer(
            (
                "The front of a small ramen shop at night. A horizontal sign above the door reads “ラーメン一番” in white brush letters on "
                "red. On the left, a wooden plate with “営業中” hangs from a nail. A backlit menu on the right lists “味噌 850円” and "
                "“醤油 800円”. Below it, a pink neon sign glows with “OPEN”. A man in a dark coat lifts the short blue curtain of the "
                "entrance with his left hand. Rain has left puddles on the asphalt that reflect red and pink light.",
                "A man enters a small ramen shop at night under the red sign “ラーメン一番”. A backlit menu and a neon sign reading “OPEN” "
                "are on the right, and puddles cover the street.",
                "A man entering a ramen shop at night under a red sign.",
                ["ramen shop", "night", "1 man", "neon sign", "rain", "japan", "“ラーメン一番”", "OPEN", "street photo"],
                ["ramen shop at night", "neon sign “OPEN”", "a guy going into a noodle bar"],
            ),
            (
                "夜晚的一家小拉面店门面。门上方的红底横匾用白色毛笔字写着“ラーメン一番”，左侧钉子上挂着木牌“営業中”，右侧背光菜单列出"
                "“味噌 850円”和“醤油 800円”，其下粉色霓虹灯亮着“OPEN”。一名身穿深色大衣的男子用左手掀起入口的蓝色短布帘。雨后的柏油路面"
                "留有水洼，映出红色和粉色的灯光。",
                "夜雨后的小拉面店，红色招牌写着“ラーメン一番”，一名男子正掀帘进店，右侧有背光菜单和粉色霓虹灯“OPEN”。",
                "夜晚，一名男子走进挂着红色招牌的拉面店。",
                ["拉面店", "夜晚", "男子", "霓虹灯", "水洼", "“ラーメン一番”", "日本街头"],
                ["夜晚的拉面店", "粉色霓虹灯招牌", "下雨天的小店门口"],
            ),
        ),
    },
    "quotes": {
        "ocr": [
            OcrString('He said "go!" 🎉', "en", carrier="T-shirt", cell="center"),
            OcrString("“自由”万岁", "zh", carrier="banner", cell="top"),
            OcrString("It’s 5 o'clock…", "en", carrier="mug", cell="left"),
        ],
        "answer": _answer(
            (
                "A young woman in a white T-shirt stands before a canvas banner. The shirt is printed with “He said \"go!\" 🎉” in blue, "
                "and the banner above her head reads ““自由”万岁” in red. Her right hand holds a brown mug with the words “It's 5 "
                "o'clock...” in cursive letters. Her hair is tied back, and she looks to the left. The wall behind is bare concrete.",
                "A young woman in a printed white T-shirt stands before a banner with red characters and holds a brown mug.",
                "A young woman with a mug before a banner on a concrete wall.",
                ["1 woman", "white t-shirt", "banner", "mug", "concrete wall", "printed text"],
                ["woman with a mug", "white shirt with funny print", "a girl, a banner"],
            ),
            (
                "一名身穿白色T恤的年轻女子站在布质横幅前。T恤上用蓝色印着“He said \"go!\" 🎉”，头顶的横幅用红字写着““自由”万岁”。她右手拿着"
                "棕色马克杯，杯上以花体字写着“It’s 5 o’clock…”。她头发向后扎起，目光朝左。身后是裸露的混凝土墙。",
                "身穿印字白T恤的年轻女子站在红字横幅前，手持棕色马克杯。",
                "手持马克杯的年轻女子站在横幅前。",
                ["年轻女子", "白色T恤", "横幅", "马克杯", "混凝土墙"],
                ["拿杯子的女生", "印字T恤", "混凝土墙前的横幅"],
            ),
        ),
    },
    "receipt": {
        "ocr": [
            OcrString(t, carrier="receipt", cell="center")
            for t in (
                "CORNER MARKET", "12 High St", "Milk 1.20", "Bread 2.50", "Bread 2.50", "Bread 2.50", "Eggs 3.10",
                "TOTAL 11.80", "CASH 20.00", "CHANGE 8.20", "THANK YOU", "THANK YOU",
            )
        ],
        "answer": _answer(
            (
                "A narrow paper receipt lies on a dark wooden table, slightly curled at both ends. The heading “CORNER MARKET” is "
                "centered in bold, with “12 High St” below. The items follow line by line: “Milk 1.20”, “Bread 2.50”, “Bread 2.50”, "
                "“Bread 2.50”, “Eggs 3.10”. A dashed rule separates “TOTAL 11.80”, “CASH 20.00” and “CHANGE 8.20”. The footer repeats "
                "“THANK YOU” twice. Light from the upper left leaves a soft shadow along the right edge of the paper.",
                "A curled paper receipt headed “CORNER MARKET” lies on a dark wooden table and lists milk, bread and eggs with a total "
                "of 11.80.",
                "A paper receipt from a corner market on a dark table.",
                ["receipt", "paper", "wooden table", "printed text", "document", "top view"],
                ["shop receipt", "crumpled paper slip on wood", "receipt that says “THANK YOU”"],
            ),
            (
                "一张窄长的纸质小票放在深色木桌上，两端略微卷起。顶部居中加粗印着“CORNER MARKET”，下一行是“12 High St”。商品逐行排列："
                "“Milk 1.20”、“Bread 2.50”、“Bread 2.50”、“Bread 2.50”、“Eggs 3.10”。虚线下方为“TOTAL 11.80”、“CASH 20.00”和“CHANGE 8.20”，"
                "底部连写两行“THANK YOU”。左上方的光线在纸张右缘留下柔和阴影。",
                "深色木桌上放着一张两端微卷的小票，抬头为“CORNER MARKET”，列有牛奶、面包和鸡蛋等商品及合计金额。",
                "深色木桌上的一张超市小票。",
                ["小票", "纸张", "木桌", "印刷文字", "俯拍"],
                ["购物小票", "木桌上的纸", "写着“THANK YOU”的收据"],
            ),
        ),
    },
    "ink painting": {
        "ocr": [
            OcrString("孤舟蓑笠翁", "zh", carrier="painting", cell="top-right"),
            OcrString("獨釣寒江雪", "zh", carrier="painting", cell="top-right"),
            OcrString("石", "zh", carrier="seal", cell="right", legible=False),
        ],
        "answer": _answer(
            (
                "A Chinese ink painting on aged paper, in vertical format. In the lower half, a man in a straw cape and a wide hat sits "
                "in a small boat and holds a fishing rod over empty water. The upper half holds two mountains in pale gray wash. At the "
                "top right, two columns of running script read “孤舟蓑笠翁” and “獨釣寒江雪”, followed by a red square seal that is partly "
                "worn. The paper is yellowed, with fine creases along the left edge.",
                "An ink painting of a man fishing from a small boat below pale mountains, with two columns of calligraphy, “孤舟蓑笠翁” and "
                "“獨釣寒江雪”, at the top right.",
                "An ink painting of a fisherman in a small boat below mountains.",
                ["chinese ink painting", "1 man", "fishing boat", "straw cape", "mountains", "calligraphy", "red seal"],
                ["chinese ink painting, boat", "old fisherman", "calligraphy scroll w red seal"],
            ),
            (
                "一幅竖构图的水墨画，纸张陈旧泛黄。下半部分，一位身披蓑衣、头戴斗笠的老人坐在小船上，手持鱼竿垂向空无一物的水面。上半部分以淡墨"
                "渲染出两座山峰。右上角有两列行书“孤舟蓑笠翁”“獨釣寒江雪”，其后钤一方略有磨损的红色方印。纸面左缘有细小折痕。",
                "水墨画中，披蓑戴笠的老人在小船上垂钓，远处山峰淡墨渲染，右上角题有“孤舟蓑笠翁”“獨釣寒江雪”。",
                "水墨画：披蓑戴笠的老人在山下江面的小船上垂钓。",
                ["水墨画", "老人", "小船", "垂钓", "远山", "书法题字", "红色印章"],
                ["水墨山水小船", "江上钓鱼的老人", "带红印的书法题字"],
            ),
        ),
    },
    "stock photo": {
        "ocr": [
            OcrString("shutterstock", "en", "watermark", cell="center"),
            OcrString("IMAGE ID: 1234567890", "en", "watermark", cell="bottom"),
        ],
        "answer": _answer(
            (
                "Two colleagues in business clothes shake hands across a glass table in a bright office. The man on the left has short "
                "gray hair and a navy suit; the woman on the right wears a white blouse and glasses. A laptop and three folders lie "
                "between them. Behind them, floor-to-ceiling windows show high-rise buildings. A semi-transparent watermark across the "
                "middle reads “shutterstock”, and a line at the bottom edge reads “IMAGE ID: 1234567890”.",
                "A man in a navy suit and a woman in a white blouse shake hands over a glass table in a bright office; the watermark "
                "“shutterstock” crosses the picture.",
                "Two business people shaking hands in a bright office.",
                ["2 people", "handshake", "office", "business suit", "glass table", "laptop", "watermark", "stock photo"],
                ["business handshake", "office meeting photo", "man in a navy suit"],
            ),
            (
                "两名身着职业装的同事在明亮的办公室里隔着玻璃桌握手。左侧男子留灰色短发，穿藏青色西装；右侧女子戴眼镜，穿白色衬衫。桌上放着一台"
                "笔记本电脑和三个文件夹。身后的落地窗外是高层建筑。画面中央有半透明水印“shutterstock”，底边有一行字“IMAGE ID: 1234567890”。",
                "明亮的办公室里，穿藏青色西装的男子与穿白衬衫的女子隔桌握手，画面带有“shutterstock”水印。",
                "两名职业装人士在明亮的办公室里握手。",
                ["两人", "握手", "办公室", "西装", "玻璃桌", "笔记本电脑", "水印"],
                ["商务握手", "办公室照片", "穿西装的男士"],
            ),
        ),
    },
    "anime": {
        "ocr": [],
        "answer": _answer(
            (
                "Digital anime illustration of Hatsune Miku standing on a rooftop. She has turquoise hair in two long pigtails, a gray "
                "sleeveless shirt, a turquoise tie and black detached sleeves. She holds a microphone in her right hand and raises her "
                "left arm toward the upper right. City lights fill the lower third as small circles in pink and yellow. The sky above is "
                "dark violet with scattered stars. Clean line art, flat shading with few gradients.",
                "Anime illustration of Hatsune Miku with turquoise pigtails singing on a rooftop above city lights at night.",
                "Anime illustration of Hatsune Miku singing on a rooftop at night.",
                ["1 girl", "hatsune miku", "turquoise hair", "twin tails", "microphone", "rooftop", "city lights", "anime style"],
                ["hatsune miku", "anime girl w mic", "draw a rooftop with city lights"],
            ),
            (
                "初音未来站在楼顶的数字动漫插画。她留着青绿色的长双马尾，身穿灰色无袖衬衫，系青绿色领带，戴黑色分离式袖套，右手握话筒，左臂举向右上方。"
                "画面下方三分之一是化作粉色、黄色小圆点的城市灯光，上方是点缀着星星的深紫色夜空。线条干净，平涂上色，渐变很少。",
                "动漫插画：青绿色双马尾的初音未来夜晚站在楼顶演唱，身后是城市灯光。",
                "夜晚在楼顶演唱的初音未来动漫插画。",
                ["一个女孩", "初音未来", "双马尾", "青绿色头发", "话筒", "楼顶", "动漫风格"],
                ["初音未来", "拿话筒的动漫少女", "楼顶的城市灯光"],
            ),
            (("Hatsune Miku", "初音未来", "character", "both"),),
        ),
    },
    "user interface": {
        "ocr": [
            OcrString(t, lang, carrier="screen")
            for t, lang in (
                ("9:41", "und"), ("设置", "zh"), ("Wi-Fi", "en"), ("蓝牙", "zh"), ("开", "zh"), ("关", "zh"), ("5G", "en"),
                ("100%", "und"), ("iCloud+", "en"),
            )
        ],
        "answer": _answer(
            (
                "Screenshot of a phone's settings page with a light gray background. The status bar shows “9:41” on the left and “5G” and "
                "“100%” on the right. The title “设置” stands below in bold. A white list follows: a row “Wi-Fi” with the value “开”, a row "
                "“蓝牙” with “关”, and a row “iCloud+” with a blue cloud icon. Each row has a colored square icon on its left and a gray "
                "arrow on its right.",
                "A phone's settings page titled “设置” lists “Wi-Fi”, “蓝牙” and “iCloud+” in white rows on light gray.",
                "Screenshot of a phone settings page in Chinese.",
                ["screenshot", "user interface", "settings page", "smartphone", "list", "icons", "“设置”"],
                ["phone settings screenshot", "ui mockup with a list", "an app screen that says “设置”"],
            ),
            (
                "手机设置页面的截图，背景为浅灰色。状态栏左侧显示“9:41”，右侧显示“5G”和“100%”。其下是加粗标题“设置”。白色列表依次为：“Wi-Fi”，状态"
                "“开”；“蓝牙”，状态“关”；“iCloud+”，配蓝色云朵图标。每行左侧是彩色方形图标，右侧是灰色箭头。",
                "浅灰底的手机“设置”页面截图，白色列表中有“Wi-Fi”“蓝牙”“iCloud+”三行。",
                "一张中文手机设置页面的截图。",
                ["截图", "用户界面", "设置页面", "手机", "列表", "图标"],
                ["手机界面截图", "设置页列表UI", "写着“设置”的屏幕"],
            ),
        ),
    },
    "dish": {
        "ocr": [],
        "answer": _answer(
            (
                "A plate of squirrel fish (songshu guiyu) seen from above at an angle. The deep-fried mandarin fish is scored into a grid "
                "so that its flesh stands up in golden rods, and a glossy red-orange sauce covers it. Pine nuts, green peas and diced "
                "carrot are scattered on top. The head points to the left with its mouth open. The oval white plate has a blue rim and "
                "stands on a dark wooden table; a pair of chopsticks lies in front of it.",
                "Squirrel fish, a deep-fried mandarin fish in red-orange sauce with pine nuts and peas, on an oval white plate.",
                "Squirrel fish with red-orange sauce on an oval plate.",
                ["squirrel fish", "songshu guiyu", "chinese food", "fried fish", "sweet and sour sauce", "pine nuts", "plate"],
                ["squirrel fish dish", "chinese fried fish with sauce", "food photo, dark table"],
            ),
            (
                "一盘松鼠鳜鱼，斜上方俯拍。鳜鱼切花刀后油炸，鱼肉竖起呈金黄色条状，浇有油亮的橙红色糖醋汁，表面撒着松仁、青豆和胡萝卜丁。鱼头朝左，"
                "鱼嘴张开。白色椭圆盘带蓝边，放在深色木桌上，盘前摆着一双筷子。",
                "松鼠鳜鱼盛在白色椭圆盘中，金黄鱼肉浇橙红色糖醋汁，撒有松仁和青豆。",
                "一盘浇着橙红糖醋汁的松鼠鳜鱼。",
                ["松鼠鳜鱼", "中餐", "炸鱼", "糖醋汁", "松仁", "青豆", "美食摄影"],
                ["松鼠鳜鱼", "中式炸鱼美食照", "木桌上的一道菜"],
            ),
            (("squirrel fish", "松鼠鳜鱼", "food", "both"),),
        ),
    },
    "blank": {
        "ocr": [],
        "answer": _answer(
            (
                "A plain white surface fills the frame from edge to edge, with a slightly darker gray along the lower border.",
                "A plain white surface with a slightly darker gray lower border.",
                "A plain white surface.",
                ["white background", "plain", "minimal"],
                ["white", "empty background", "blank wall"],
            ),
            (
                "纯白色平面铺满整个画面，上下左右没有任何物体，仅靠近下边缘处略微偏灰，形成一条不明显的浅灰色过渡带。",
                "纯白色平面铺满画面，下边缘处略微偏灰。",
                "一片纯白色的平面。",
                ["白色背景", "纯色", "极简"],
                ["白色", "空背景", "极简壁纸"],
            ),
        ),
    },
}  # fmt: skip

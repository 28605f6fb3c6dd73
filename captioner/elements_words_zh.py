"""General Chinese word lists of the rule engine: numbers, classifiers, colors, places, verbs, styles.

Chinese is written without blanks, so everyday nouns are listed too, but only to keep words whole that would otherwise
be cut at a color, a place or a verb inside them (`红绿灯`, `上海`, `飞机`); any other run of characters is a noun as well.
"""

from __future__ import annotations

from .elements_words import words

DIGITS = {
    "零": 0,
    "一": 1,
    "二": 2,
    "两": 2,
    "三": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
    "十": 10,
}
#: Numbers that fix none.
VAGUE = {"几": "several", "数": "several", "多": "many", "许多": "many", "很多": "many", "一些": "several", "若干": "several",
    "无数": "countless", "众多": "many", "成群": "many", "好几": "several", "一群": "group", "一排": "row", "一堆": "pile",
    "一串": "string", "一束": "bunch"}  # fmt: skip
CLASSIFIERS = frozenset(
    "个只条头匹张把座栋幢辆架艘本朵棵株根片块位名群对双排串束杯瓶碗盘盏台部件顶副幅面颗粒枚滴堆扇间家层道支枝尊份口轮罐盒"
    "袋篮筐壶桶盆锅叶缕抹丛簇团艇列节级届套身员尾峰则封卷册页款种类圈捆叠尺米"
)
#: Classifiers of pictures: `一张`, `一幅`.
PICTURE_CLASSIFIERS = frozenset("张幅副")
GROUP_CLASSIFIERS = {"群": "group", "排": "row", "堆": "pile", "串": "string", "束": "bunch", "丛": "cluster",
    "簇": "cluster", "列": "row", "叠": "stack", "对": "pair"}  # fmt: skip

_COLOR_ROOTS = {
    "红": "red", "橙": "orange", "橘": "orange", "黄": "yellow", "绿": "green", "蓝": "blue", "紫": "purple",
    "粉": "pink", "粉红": "pink", "棕": "brown", "褐": "brown", "咖啡": "brown", "黑": "black", "白": "white",
    "灰": "gray", "金": "gold", "银": "silver", "米": "beige", "青": "teal", "橙红": "orange", "金黄": "gold",
    "天蓝": "blue", "海蓝": "blue", "宝蓝": "blue", "湖蓝": "blue", "墨绿": "green", "翠绿": "green", "草绿": "green",
    "橄榄绿": "green", "朱红": "red", "大红": "red", "鲜红": "red", "酒红": "burgundy", "玫红": "magenta",
    "玫瑰": "rose", "乳白": "white", "雪白": "white", "纯白": "white", "洁白": "white", "米白": "ivory",
    "漆黑": "black", "乌黑": "black", "银白": "silver", "银灰": "silver", "古铜": "bronze", "翡翠": "emerald",
    "琥珀": "amber", "象牙": "ivory", "紫罗兰": "violet", "藏青": "navy", "靛": "indigo", "碧绿": "green",
    "蔚蓝": "azure", "湛蓝": "azure", "碧蓝": "azure", "火红": "red", "嫩绿": "green", "杏": "peach",
}  # fmt: skip
_SHADES = ("深", "浅", "淡", "暗", "亮", "鲜", "大", "明", "纯", "荧光", "")
#: Color word -> English name, as `elements_words_en.COLORS` has it.
COLORS = {f"{shade}{root}色": name for root, name in _COLOR_ROOTS.items() for shade in _SHADES}
COLORS |= {root: name for root, name in _COLOR_ROOTS.items()
           if len(root) > 1 and root not in ("咖啡", "玫瑰", "翡翠", "琥珀", "象牙", "紫罗兰", "古铜")}  # fmt: skip
#: Single characters: colors only at the start of a noun phrase.
SINGLE_COLORS = {root: name for root, name in _COLOR_ROOTS.items() if root in "红橙橘黄绿蓝紫粉棕黑白灰"}
MULTICOLOR = words("彩色 五颜六色 五彩缤纷 五彩 多彩 色彩缤纷 七彩 花色 彩虹色")

ADJECTIVES = words(
    "在线 诱人 迷人 清晰 较小 较大 主要 引人入胜 欢快 温馨 大胆 俏皮 热闹非凡 熙熙攘攘 无缝 巨大 巨型 大型 小型 微型 迷你 高大 矮小 庞大 细小 宽阔 宽大 狭窄 狭长 修长 细长 古老 古朴 古色古香 陈旧 破旧 破败 崭新 现代 传统 "
    "年轻 年老 年迈 年幼 中年 老年 老 漂亮 美丽 可爱 帅气 优雅 丑陋 快乐 开心 高兴 悲伤 愤怒 孤独 疲惫 友好 凶猛 勇敢 威武 威严 "
    "明亮 昏暗 黑暗 温暖 寒冷 炎热 潮湿 干燥 干净 肮脏 新鲜 精致 精美 华丽 奢华 朴素 简洁 简约 复杂 神秘 梦幻 奇幻 魔幻 科幻 "
    "透明 半透明 光滑 粗糙 柔软 坚硬 锋利 圆形 方形 长方形 正方形 三角形 椭圆形 圆 方 尖 弯曲 平坦 笔直 立体 木制 木质 金属 塑料 "
    "玻璃 陶瓷 大理石 石头 石质 石制 皮革 丝绸 棉质 毛绒 毛茸茸 生锈 斑驳 繁忙 热闹 繁华 拥挤 安静 宁静 平静 空旷 茂密 茂盛 郁郁葱葱 盛开 "
    "蓬松 蜷曲 卷曲 厚重 轻盈 沉重 饱满 成熟 青涩 美味 可口 热气腾腾 冒着热气 晶莹剔透 闪亮 闪闪发光 发光 生动 逼真 醒目 鲜艳 鲜明 柔和 "
    "破碎 完整 敞开 半开 空 满 湿漉漉 胖 瘦 高 矮 大 小 长 短 旧 新 宽 窄 厚 薄 粗 细 深 浅 胖乎乎 圆滚滚 中式 西式 欧式 日式 复古 "
    "未来 未来感 赛博 老式 老旧 雄伟 壮观 壮丽 宏伟 辽阔 美味 蓝眼睛 长发 短发 雄壮 强壮 肥胖 苗条 优美 时尚 典雅 野生 热带 波光粼粼"
)
SINGLE_ADJECTIVES = frozenset("大小高矮老新旧长短圆方胖瘦宽窄厚薄粗细空满尖")
MATERIALS = words(
    "木头 木 木质 石头 石 金属 铁 铜 钢 玻璃 塑料 纸 布 皮 皮革 陶瓷 水晶 冰 竹子 竹 毛线 羊毛 丝绸 大理石 混凝土 黄金 白银 木材 青铜"
)

#: Place words -> relation; with a noun before them (and `在`), or alone for places in the picture.
PLACES = {
    "左边": "left_of", "左侧": "left_of", "左面": "left_of", "左方": "left_of", "左手边": "left_of",
    "右边": "right_of", "右侧": "right_of", "右面": "right_of", "右方": "right_of", "右手边": "right_of",
    "上面": "on", "上边": "above", "上方": "above", "顶上": "on", "上空": "above", "顶部": "on", "上": "on", "之上": "above",
    "下面": "below", "下边": "below", "下方": "below", "底下": "below", "下": "below", "之下": "below", "脚下": "below",
    "前面": "in_front_of", "前方": "in_front_of", "前边": "in_front_of", "前": "in_front_of", "面前": "in_front_of",
    "跟前": "in_front_of", "之前": "in_front_of", "后面": "behind", "后方": "behind", "后边": "behind", "背后": "behind",
    "身后": "behind", "后": "behind", "里面": "inside", "里": "inside", "内": "inside", "中": "inside", "里边": "inside",
    "内部": "inside", "之中": "inside", "当中": "inside", "中间": "between", "之间": "between", "外面": "outside", "外": "outside",
    "旁边": "next_to", "旁": "next_to", "身边": "next_to", "边上": "next_to", "一旁": "next_to", "边": "next_to",
    "身旁": "next_to", "附近": "near", "周围": "around", "四周": "around", "中央": "center_of", "中心": "center_of",
    "对面": "opposite", "之外": "outside", "尽头": "end_of", "底部": "bottom_of", "一侧": "next_to", "两侧": "next_to", "两旁": "next_to",
    "表面": "on", "边缘": "next_to", "角落": "corner_of", "左上方": "left_of", "右上方": "right_of",
}  # fmt: skip
FRAME_PLACES = {
    "左边": "left", "左侧": "left", "左方": "left", "右边": "right", "右侧": "right", "右方": "right",
    "上方": "top", "顶部": "top", "上面": "top", "上部": "top", "下方": "bottom", "底部": "bottom", "下面": "bottom",
    "下部": "bottom", "中间": "center", "中央": "center", "中心": "center", "左上角": "top_left", "右上角": "top_right",
    "左下角": "bottom_left", "右下角": "bottom_right", "背景": "background", "前景": "foreground", "远处": "background",
    "远方": "background", "近处": "foreground", "正中": "center", "正中央": "center", "后景": "background", "中景": "midground",
    "背景里": "background", "背景中": "background", "背景上": "background", "前景中": "foreground",
}  # fmt: skip
FRAME_NOUNS = words("画面 图片 图像 照片 图 画 镜头 画布 构图 海报 版面 页面 屏幕") - words("海报 页面 屏幕")

CONJUNCTIONS = words("和 与 及 以及 还有 跟 同 并 并且 而且 且 或 或者 、")
NEGATIONS = words("没有 无 不要 不含 不带 没")
HAVE = words(
    "有 是 为 变成 成为 立着 挂着 放着 摆着 停着 坐着 站着 飘着 悬着 摆放着 矗立着 停放着 悬挂着 摆满 开满 长满 写着 印着 摆有 设有 带有"
)
FILLERS = words(
    "正在 正 一起 同时 还 也 都 很 非常 十分 特别 极其 地 得 了 过 着 它 他 她 它们 他们 她们 其 这 那 这个 那个 该 此 则 又 就 才 仅 只 "
    "轻轻 静静 缓缓 慢慢 悠闲 优雅地 整齐 各自 相互 互相 分别 依次 呈 呈现 请 帮我 给我 我想要 我要 我 你 生成 绘制 画一张 画一幅 画 来 一下 "
    "以 用 由 从 把 被 将 向 朝 对 给 让 使 于 位于 处于 并排 之 时 当 像 如 如同 仿佛 宛如 似 般 等 所 而 但 但是 因为 所以 整个 充满 "
    "手里 手中 手上 画中 图中 画面中 画面上 画面里 图片中 照片中 图片里 照片里 清晰可见 可见 可以看到 能看到 看到 显示 展现 展示 描绘 描绘着 展示着 捕捉 写有"
)
VERBS = words(
    "插 种 长 建 立 倒 落 铺 盖 印 刻 贴 夹 浮 沉 泡 埋 藏 住 卧 坐 站 躺 趴 蹲 跪 走 跑 跳 飞 骑 开 停 放 挂 摆 穿 戴 拿 握 举 抱 背 扛 提 推 拉 看 望 读 写 画 吃 喝 咬 睡 睡觉 游 游泳 奔跑 奔腾 行走 "
    "散步 漫步 跳跃 跳舞 飞翔 飞行 翱翔 盘旋 漂浮 悬浮 漂流 航行 行驶 驾驶 骑行 攀爬 爬 滑雪 滑冰 冲浪 钓鱼 追逐 追赶 追 拥抱 亲吻 握手 微笑 大笑 哭泣 哭 笑 "
    "唱歌 唱 演奏 弹 弹奏 弹钢琴 弹吉他 拉小提琴 打篮球 踢足球 踢 打 玩 玩耍 玩水 嬉戏 工作 学习 看书 读书 阅读 写作 写字 画画 做饭 烹饪 切 煮 炒 喂 "
    "凝视 注视 眺望 仰望 俯瞰 俯视 面对 面向 靠 倚靠 依偎 休息 沉睡 打坐 冥想 练习 打太极 舞剑 挥舞 挥手 指向 指 投掷 扔 接住 抓 抓住 捧 端 托 撑 撑伞 打伞 "
    "环绕 围绕 包围 围坐 覆盖 笼罩 点缀 装饰 照耀 照亮 照射 洒 洒落 倒映 反射 映照 燃烧 爆炸 绽放 盛放 生长 飘扬 飘落 飘 飘动 流淌 流 流过 落 落下 升起 "
    "矗立 耸立 屹立 伫立 坐落 悬挂 摆放 放置 停放 停靠 停泊 排列 堆放 堆满 摆满 装满 挂满 铺满 长满 开满 布满 写满 身穿 身着 头戴 手持 手拿 手握 怀抱 佩戴 披 系 "
    "穿过 穿越 越过 跨越 经过 走过 走向 跑向 飞向 飞过 冲向 打开 关闭 敲 敲打 拍 拍打 拍照 拍摄 打电话 喝茶 喝咖啡 品茶 泡茶 吃饭 聊天 交谈 讨论 下棋 购物 庆祝 "
    "玩手机 使用 操作 修理 建造 雕刻 缝 编织 搬运 运送 携带 牵 牵手 遛狗 遛 牵着手 梳头 洗澡 喷出 喷 冒出 冒 散发 发出 释放 长出"
)
#: Verbs of lettering: what comes in quotes after them is written on what was named before.
WRITING = words(
    "写着 印着 刻着 标着 标注着 题着 画着 显示着 印有 写有 刻有 标有 题有 绣着 绣有 喷着 涂着 贴着 写道 写上 印刷着 标示着 标注 写 题写 "
    "雕刻着 展示着 印上 刻上 写了 书写着 呈现 赫然写着 清晰地写着 清晰写着 显示 展示 印刷 注明 标明"
)
TEXT_NOUNS = words(
    "字样 文字 标语 大字 字 标题 几个字 几个大字 四个字 两个字 三个字 字母 汉字 口号 字体 副标题 主标题 文案 标签 内容 信息 提示 字幕 书名 店名 "
    "题字 四个大字 两个大字 三个大字 英文 中文 单词 一行字 说明 名称 名字"
)

STYLES = words(
    "油画 水彩画 水彩 水墨画 水墨 国画 中国画 工笔画 素描 速写 版画 木刻 浮世绘 漫画 动漫 动画 卡通 插画 插图 像素画 像素艺术 像素风 像素 矢量图 扁平化 "
    "扁平风 三维渲染 3D渲染 3d渲染 3D 数字艺术 概念艺术 概念设计 摄影 写实 超写实 照片级 电影感 胶片 胶片感 黑白 黑白照片 赛博朋克 蒸汽朋克 蒸汽波 印象派 "
    "抽象派 立体派 超现实主义 极简主义 极简 波普艺术 剪纸 年画 敦煌壁画 二次元 吉卜力 宫崎骏 皮克斯 低多边形 等距 粘土 涂鸦 壁画 纪实摄影 人像摄影 微距 微距摄影 "
    "景深 浅景深 虚化 逆光 侧光 柔光 自然光 黄金时刻 电影级 光线追踪 高清 超高清 8K 4K 8k 4k HDR 广角镜头 广角 长焦 鱼眼 长曝光 手账风 国潮 国风 古风 手绘 线稿 "
    "宣传海报 复古风 产品摄影 美食摄影 街头摄影 风光摄影"
) - words("宣传海报")
FRAMINGS = {
    "特写": "close_up", "近景": "close_up", "中景镜头": "medium_shot", "全景": "wide_shot", "远景": "wide_shot",
    "俯视": "top_view", "俯拍": "top_view", "鸟瞰": "aerial_view", "航拍": "aerial_view", "仰视": "low_angle",
    "仰拍": "low_angle", "平视": "eye_level", "侧面": "side_view", "正面": "front_view", "全身": "full_body",
    "半身": "half_body", "对称构图": "symmetry", "居中构图": "centered", "三分法": "rule_of_thirds", "近景特写": "close_up",
    "全身照": "full_body", "半身照": "half_body", "鸟瞰图": "aerial_view", "居中": "centered", "对称": "symmetry",
}  # fmt: skip
MEDIA = words(
    "照片 相片 图片 图像 画 图 画作 作品 海报 插画 油画 水彩画 水墨画 国画 素描 漫画 照 写真 壁纸 效果图 渲染图 概念图 截图 特写 肖像 肖像画 "
    "示意图 信息图 剪纸 封面 logo 图标 表情包 摄影作品 风景画 人像 人物画 摄影照片 绘画 场景图"
)

#: Kept whole; see the module.
NOUNS = words(
    "大象 大熊猫 小熊猫 大海 大树 大楼 大厦 大门 大街 大桥 大衣 大米 大蒜 大厅 大学 大地 小狗 小猫 小鸟 小鸡 小船 小溪 小巷 小镇 小屋 小提琴 小号 小路 小草 小麦 "
    "小男孩 小女孩 小孩 小朋友 小丑 小山 小河 小推车 长城 长椅 长袍 长裙 长凳 长颈鹿 长桌 短裤 短裙 高楼 高山 高塔 高跟鞋 高铁 高速公路 老虎 老人 老鼠 老鹰 老师 "
    "老爷爷 老奶奶 老太太 老头 老板 老街 新娘 新郎 圆桌 圆月 方桌 方块 红绿灯 红酒 红包 红薯 红旗 红灯笼 红枣 白云 白菜 白板 白酒 白发 白鹭 白鹤 白天 白雪 黑板 "
    "黑洞 黑熊 黑夜 绿茶 绿豆 绿植 绿地 绿叶 蓝天 蓝莓 蓝鲸 黄瓜 黄昏 黄河 黄山 黄油 黄牛 黄金 金鱼 金毛犬 金字塔 银行 银河 银杏 青蛙 青铜器 青山 青花瓷 青椒 紫薯 "
    "紫禁城 橙子 橙汁 橘子 粉笔 灰尘 灰狼 米饭 米老鼠 上海 下午 前台 后院 中国 中餐 中秋节 里程碑 内衣 外套 外星人 外国人 海边 河边 湖边 路边 街边 岸边 天边 窗边 "
    "飞机 飞船 飞碟 飞鸟 飞盘 跑车 跑步机 跑道 骑士 骑手 开关 停车场 停车计时器 放大镜 挂钟 摆钟 穿衣镜 戴胜 提琴 推车 拉面 看台 读者 写字楼 写字台 画家 画板 画笔 "
    "画框 画架 吃货 喝彩 睡袋 睡衣 睡莲 游泳池 游客 游船 游乐场 走廊 跳板 站台 坐垫 背包 背景墙 手提包 手机 手套 手表 手推车 手风琴 打火机 打印机 打字机 弹簧 踏板 "
    "舞者 舞台 舞蹈演员 歌手 演员 航天员 宇航员 太空人 消防栓 消防车 消防员 警察 医生 护士 厨师 士兵 将军 皇帝 武士 剑客 侠客 仙女 天使 魔法师 巫师 女巫 王子 公主 "
    "国王 女王 海盗 忍者 机器人 机械 人物 男子 女子 男人 女人 男孩 女孩 男生 女生 少年 少女 美女 帅哥 儿童 孩子 婴儿 老妇人 人群 行人 顾客 学生 工人 农民 渔夫 猎人 "
    "情侣 夫妻 家庭 母亲 父亲 妈妈 爸爸 爷爷 奶奶 人 猫 狗 鸟 鱼 马 牛 羊 猪 鸡 鸭 鹅 兔 兔子 熊 熊猫 龙 凤凰 麒麟 虎 狮子 豹 狼 狐狸 猴子 鹿 骆驼 斑马 大猩猩 企鹅 "
    "海豚 鲸鱼 鲨鱼 章鱼 水母 乌龟 蛇 蝴蝶 蜜蜂 蜻蜓 蚂蚁 松鼠 刺猬 仙鹤 鹤 孔雀 鹦鹉 鸽子 猫头鹰 树 花 草 山 河 湖 海 天空 太阳 月亮 星星 云 云朵 雪 雪山 雪花 雨 "
    "彩虹 草地 草坪 草原 森林 树林 竹林 花园 公园 沙滩 海滩 沙漠 瀑布 悬崖 山峰 山谷 田野 稻田 梯田 池塘 小岛 火山 冰山 冰川 街道 街头 马路 道路 人行道 广场 城市 "
    "村庄 古镇 寺庙 宫殿 城堡 教堂 塔 宝塔 亭子 凉亭 桥 石桥 拱桥 房子 房屋 木屋 建筑 建筑物 摩天大楼 商店 店铺 餐厅 餐馆 咖啡馆 咖啡店 书店 图书馆 学校 教室 医院 "
    "车站 地铁站 机场 港口 码头 灯塔 市场 超市 厨房 卧室 客厅 浴室 办公室 房间 阳台 窗户 窗台 窗 门 墙 墙壁 砖墙 屋顶 地板 地面 天花板 楼梯 桌子 书桌 餐桌 木桌 茶几 "
    "椅子 沙发 床 柜子 书架 架子 台灯 灯 灯笼 蜡烛 镜子 钟 时钟 闹钟 花瓶 花盆 盆栽 篮子 盒子 箱子 行李箱 瓶子 杯子 茶杯 茶壶 咖啡杯 酒杯 碗 盘子 碟子 筷子 勺子 叉子 "
    "刀 锅 火锅 书 书籍 报纸 杂志 信 信封 笔 铅笔 毛笔 纸 地图 国旗 旗帜 旗子 路牌 招牌 牌匾 匾额 指示牌 标志牌 广告牌 黑板报 横幅 对联 春联 海报 菜单 电脑 笔记本电脑 "
    "键盘 鼠标 屏幕 电视 电视机 电话 相机 照相机 耳机 汽车 轿车 卡车 公交车 公共汽车 出租车 摩托车 自行车 火车 地铁 列车 船 帆船 轮船 游艇 直升机 火箭 卫星 热气球 气球 "
    "风筝 雨伞 油纸伞 伞 帽子 草帽 皇冠 头盔 眼镜 墨镜 围巾 领带 衬衫 毛衣 裙子 连衣裙 旗袍 汉服 和服 西装 外衣 裤子 牛仔裤 鞋子 运动鞋 靴子 袜子 包 手袋 戒指 项链 "
    "耳环 剑 宝剑 弓箭 盾牌 枪 吉他 钢琴 二胡 古筝 琵琶 笛子 鼓 喇叭 足球 篮球 网球 网球拍 乒乓球 棒球 滑板 滑雪板 冲浪板 玩具 泰迪熊 娃娃 积木 雕像 雕塑 佛像 兵马俑 "
    "苹果 香蕉 橘 梨 桃子 葡萄 草莓 樱桃 西瓜 柠檬 芒果 菠萝 水果 蔬菜 西兰花 胡萝卜 番茄 西红柿 土豆 辣椒 蘑菇 南瓜 玉米 鸡蛋 面包 蛋糕 饼干 甜甜圈 披萨 汉堡 三明治 "
    "热狗 饺子 包子 馒头 面条 粽子 月饼 汤圆 寿司 牛排 烤鸭 松鼠鳜鱼 咖啡 茶 普洱茶 牛奶 果汁 啤酒 酒 水 冰淇淋 巧克力 糖果 玫瑰 玫瑰花 牡丹 荷花 莲花 梅花 菊花 樱花 "
    "樱花树 桃花 向日葵 郁金香 薰衣草 竹子 松树 柳树 枫树 枫叶 落叶 叶子 树叶 树枝 石头 岩石 沙子 火 火焰 烟花 烟雾 雾 霓虹灯 路灯 闪电 光 光线 阳光 月光 夕阳 日落 日出 "
    "夜空 星空 宇宙 星球 行星 地球 月球 太空 倒影 影子 翅膀 尾巴 眼睛 头发 手 脸 头 嘴 耳朵 笑容 灯光 水面 湖面 海面 江面 江边 桌面 雪地 山顶 山脚 山坡 树下 前院"
) - words("树下 前院 江边")

#: Characters that a run of characters taken for a noun must not hold: it is a clause then, and left out.
CLAUSE_CHARACTERS = frozenset(
    "以由为者地均共但且所被把将对向等些使令让可能会要想即而却并致吸引营造提供融入形成构成强调突出体现传达"
)
#: Nouns for what no picture can be checked for.
ABSTRACT = words(
    "氛围 目光 活力 吸引力 场景 环境 色调 主题 内容 感觉 气息 热情 信息 细节 质感 感 意境 情感 效果 概念 整体 视觉 美感 风格 注意力 方式 时候 时刻 焦点 概述 "
    "光影 空间感 层次感 故事感 魅力 特色 元素 画面感 地方 样子 背景 一切 生活 世界 时代 季节 瞬间 之美 字体 名称 画面"
)

#: Verbs of one character that take an object: verbs at the start of a run of other characters too (`喂鸽子`).
TRANSITIVE = frozenset("戴穿吃喝喂骑抱拿举握牵追咬")

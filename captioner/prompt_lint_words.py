"""What the parts of a photographic prompt look like in English and Chinese, as patterns."""

from __future__ import annotations

import re


def _either(english: str, chinese: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{english})\b|(?:{chinese})", re.I)


INTENT = _either(
    r"editorial|commercial|documentary|fashion (?:shoot|photo\w*|editorial|portrait)|product (?:shot|photo\w*|shoot)|beauty (?:shot|portrait)|"
    r"street photo\w*|photojournalis\w+|wedding photo\w*|food photo\w*|(?:landscape|wildlife|architectural|sports|travel|interior|macro|"
    r"portrait|real estate|aerial|night|astro) ?photo\w*|candid|portrait|headshot|advertis\w+|lookbook|campaign|still life|catalog(?:ue)? shot|"
    r"hero shot|passport photo|selfie|film still|movie still|news photo|lifestyle (?:shot|photo\w*)|photo essay|photograph|photo",
    "纪实|商业|广告|时尚大片|时装|杂志|编辑风|产品摄影|产品图|产品照|人像|肖像|街拍|街头摄影|新闻摄影|婚纱照|美食摄影|风光摄影|野生动物摄影|建筑摄影|"
    "旅行摄影|写真|抓拍|证件照|静物|剧照|宣传照|摄影|照片",
)
#: Of INTENT, what says only that it is a photo, not what for.
BARE_INTENT = re.compile(r"^(?:photograph|photo|照片|摄影)$", re.I)
SETTING = _either(
    r"in (?:a|an|the|his|her|their|front|downtown|central)\b[^,.;]*|at (?:dawn|dusk|night|noon|sunset|sunrise|home|the|a)\b[^,.;]*|on (?:a|an|the|top)\b[^,.;]*|"
    r"indoors?|outdoors?|background|backdrop|studio|street|city|forest|beach|mountains?|desert|kitchen|room|office|cafe|park|garden|harbou?r|"
    r"dock|market|night|morning|evening|afternoon|dawn|dusk|noon|sunset|sunrise|winter|summer|autumn|spring|snow\w*|rain\w*|fog\w*|mist\w*|"
    r"seamless (?:white|gray|paper)|underwater|space|sky",
    "背景|室内|室外|户外|街头|街道|城市|乡村|森林|海边|海滩|沙滩|山|沙漠|厨房|房间|卧室|客厅|办公室|咖啡馆|公园|花园|码头|市场|夜晚|夜景|清晨|早晨|傍晚|黄昏|"
    "正午|日落|日出|冬|夏|秋|春天|雪|雨|雾|摄影棚|棚内|水下|太空|天空|草地|湖|江|河|桌上|桌面|墙|窗|在.{1,12}(?:里|上|中|下|旁|前|后|边)",
)
CAMERA_BODY = re.compile(
    r"\b(?:shot on|taken with|captured (?:on|with)|canon|nikon|sony|fuji\w*|leica|hasselblad|pentax|olympus|panasonic|lumix|gopro|iphone|"
    r"dslr|mirrorless|medium format|large format|polaroid|rolleiflex|mamiya|kodak|arri|red komodo|drone)\b|佳能|尼康|索尼|富士|徕卡|哈苏|宾得|"
    r"松下|单反|微单|中画幅|大画幅|宝丽来|无人机|手机拍摄|胶片相机",
    re.I,
)
LENS = re.compile(
    r"(?<![A-Za-z0-9])\d{1,4}(?:\s?-\s?\d{1,4})?\s?mm(?![A-Za-z])|\b(?:wide[- ]angle|telephoto|fisheye|macro|prime|tilt[- ]shift|anamorphic|zoom) (?:lens|shot)?|\blens\b|"
    r"广角|长焦|鱼眼|微距|定焦|变焦|移轴|镜头",
    re.I,
)
APERTURE = re.compile(
    r"(?<![A-Za-z0-9])f\s?/?\s?\d{1,2}(?:\.\d)?(?![A-Za-z0-9])|\baperture\b|\b(?:shallow|deep) depth of field\b|\bbokeh\b|\biso\s?\d+|\b1/\d{2,4}\s?s?\b|光圈|景深|虚化|快门|感光度",
    re.I,
)
LIGHTING = _either(
    r"light(?:s|ing|ed)?|backli\w+|sun(?:light|lit|ny|set|rise)\w*|golden hour|blue hour|shadows?|rim light\w*|softbox|neon|candle\w*|moonl\w+|"
    r"overcast|spotlight\w*|chiaroscuro|glow\w*|illuminat\w+|high[- ]key|low[- ]key|dappled|silhouette\w*|flash|dawn|dusk|\d{4}\s?k",
    "光线|灯光|晨光|暮光|柔和的.{0,3}光|[左右]侧.{0,6}光|阳光|逆光|侧光|顶光|柔光|硬光|月光|烛光|霓虹|黄金时刻|蓝调时刻|阴影|轮廓光|伦勃朗光|明暗|打光|照明|自然光|阴天|日光|夕阳|剪影|暖光|冷光|色温|光影|闪光灯",
)
LIGHT_DIRECTION = _either(
    r"from (?:the )?(?:left|right|above|below|behind|side|front|window)|backli\w+|rim|side[- ]?li\w+|overhead|front[- ]?li\w+|window light",
    "左侧|右侧|上方|下方|背后|逆光|侧光|顶光|轮廓光|正面光|窗光|窗边",
)
MOOD = _either(
    r"mood\w*|atmospher\w+|calm|serene|tranquil|peaceful|melanchol\w+|joy\w*|happy|cheerful|playful|dramatic|tense|mysterious|moody|contemplative|"
    r"dignit\w+|energetic|vibrant|romantic|nostalgi\w+|somber|lonely|cozy|intimate|confident|ominous|dreamy|elegant|warm|quiet|lively|festive|"
    r"smiling|laughing|solemn|majestic|whimsical|gritty|luxurious|minimal\w*",
    "氛围|情绪|宁静|平静|安静|忧郁|快乐|欢快|戏剧性|神秘|沉思|庄重|庄严|浪漫|怀旧|孤独|温馨|温暖|亲密|自信|梦幻|优雅|热闹|喜庆|微笑|大笑|肃穆|活力|清新|静谧|治愈|高级感|气氛",
)
PERSON = _either(
    r"(?:wo)?m[ae]n|girls?|boys?|person|people|lady|gentleman|child(?:ren)?|kids?|baby|model|portrait|face|couple|bride|groom|dancer|chef|doctor|"
    r"fisherman|farmer|worker|athlete|student|teacher|artist|musician|singer|soldier|king|queen|elder(?:ly)?|teenager|guy|actor|actress",
    "男人|女人|男子|女子|男孩|女孩|少年|少女|男生|女生|人物|人像|老人|孩子|儿童|婴儿|模特|情侣|新娘|新郎|舞者|厨师|医生|渔夫|农民|工人|运动员|学生|老师|艺术家|歌手|士兵|老奶奶|老爷爷|美女|帅哥",
)
PERSON_DETAILS = {
    "age": _either(
        r"\d{1,2}[- ]year[- ]old|in (?:his|her|their) (?:early |mid[- ]|late )?\d0s|aged?|elderly|old|young|middle-aged|teen\w*|adult|child|baby|toddler",
        r"\d{1,2}岁|老|年轻|中年|少年|少女|儿童|婴儿|青年|[一二三四五六七八九]十多?岁",
    ),
    "clothing": _either(
        r"wear\w*|dressed|shirt|dress|suit|jacket|coat|jeans|hat|scarf|sweater|uniform|hoodie|robe|kimono|skirt|blouse|glasses|apron|boots|gown|clad",
        "穿|戴|衬衫|裙|西装|外套|大衣|帽|围巾|毛衣|制服|汉服|旗袍|和服|牛仔|眼镜|围裙|靴",
    ),
    "expression": _either(
        r"smil\w+|laugh\w+|frown\w+|expression|gaze|gazing|looking|serious|confident|pensive|contemplative|crying|grin\w*|stern|surprised|calm|eyes",
        "微笑|大笑|笑|表情|神情|目光|凝视|严肃|自信|沉思|哭|惊讶|平静|眼神|皱眉|注视",
    ),
    "pose": _either(
        r"standing|sitting|seated|walking|running|kneeling|leaning|lying|crouching|dancing|holding|jumping|posing|mending|reading|cooking|riding|arms|pose",
        "站|坐|走|跑|跪|靠|躺|蹲|跳|拿|握|举|抱|骑|倚|姿势|姿态|读|弹|托",
    ),
}
PRODUCT = _either(
    r"product|bottle|packaging|watch|sneakers?|perfume|cosmetics?|skincare|phone|headphones?|mug|jewel\w+|handbag|furniture|catalog(?:ue)?",
    "产品|商品|瓶|包装|手表|运动鞋|香水|化妆品|护肤品|手机|耳机|马克杯|珠宝|手提包|家具",
)
MATERIAL = _either(
    r"glass|metal\w*|steel|leather|plastic|wood\w*|ceramic|matte|gloss\w*|brushed|polished|transparent|frosted|fabric|cotton|gold|silver|marble|paper|aluminum|satin|chrome",
    "玻璃|金属|钢|皮革|塑料|木|陶瓷|哑光|亮面|磨砂|抛光|透明|布|棉|金色|银色|大理石|纸|铝|缎面",
)
VIDEO = _either(
    r"videos?|video clip|animat(?:ed|ion) (?:gif|clip)|gif|time-?lapse|slow[- ]motion|footage|frames per second|\d+ ?fps|camera (?:pans|zooms|moves)|"
    r"pan(?:s|ning) (?:left|right|across)|\d+[- ]second (?:clip|shot|video)",
    "视频|动图|短片|延时摄影|慢动作|镜头(?:缓缓|慢慢)?(?:推进|拉远|平移|移动|摇)|帧率|秒的(?:视频|镜头)",
)
ILLUSTRATION = _either(
    r"illustration|anime|manga|cartoon|oil painting|watercolou?r|sketch|drawing|pixel art|vector|line art|3d render\w*|cgi|comic|low poly|"
    r"concept art|ukiyo-e|digital art|logo|icon|poster|infographic|paintings? (?:of|by|in|from|with|depicting)|painted in|gouache|acrylics?|"
    r"engraving|etching|woodcut|linocut|fresco|ink wash|collage|clip ?art|doodle|stickers?|charcoal drawing|crayon",
    "绘画|画作|水粉|蜡笔|涂鸦|贴纸|简笔画|插画|动漫|漫画|卡通|油画|水彩|水墨|素描|像素|矢量|线稿|三维渲染|3D|国画|工笔|概念艺术|浮世绘|数字艺术|标志|图标|海报|信息图|版画|剪纸",
)
PHOTOREAL = _either(
    r"photo\w*|realistic|lifelike|true[- ]to[- ]life|raw|film grain|dslr|mm|lens|shot on",
    "照片|摄影|写实|真实|逼真|实拍|镜头|胶片",
)
HANDS = _either(
    r"fingers?|hand gestures?|hands?|holding hands|playing (?:the )?(?:piano|guitar|violin|flute)|peace sign|thumbs? up|interlaced",
    "手指|手势|双手|牵手|弹(?:钢琴|吉他|琴)|拉小提琴|比心|剪刀手|十指",
)
HANDS_SAID = _either(
    r"hands? (?:resting|on|in|at|by|clasped|folded|holding|around|raised|behind|tucked)|(?:left|right|both|one|his|her) hands?|holding",
    "手(?:放|插|叉|搭|托|扶|握|捧|持|背|里|中)|(?:左|右|双)手|拿着|握着|捧着|扶着",
)
PRAISE = _either(
    r"masterpiece|best quality|high[- ]quality|ultra[- ]detailed|highly detailed|8k|4k|16k|hdr|award[- ]winning|trending on \w+|hyper[- ]?detailed|stunning",
    "杰作|最佳质量|最高质量|高质量|超高清|超清|大师级|细节丰富|震撼|绝美",
)

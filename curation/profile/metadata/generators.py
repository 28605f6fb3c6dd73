"""Names and marks of programs that make pictures with generative models.

Names are looked for only in fields that software fills in about itself (Exif Software, XMP CreatorTool,
PNG Software, C2PA software agents): in a caption they are just words. Cameras and editors are not here,
whatever generative tools they offer: what those mark is the digital source type.
"""

from __future__ import annotations

import re

_NAMES = (
    # services
    r"midjourney",
    r"niji ?journey",
    r"dall[-·. ]?e\b",
    r"openai",
    r"chatgpt",
    r"gpt-?image",
    r"gpt-4o",
    r"bing image creator",
    r"adobe[ _]firefly",
    r"google (?:gemini|imagen)",
    r"gemini[- ]\d",
    r"imagen[- ]\d",
    r"nano[- ]banana",
    r"imagine with meta",
    r"meta ai\b",
    r"grok\b(?! ?jpeg)",  # a JPEG 2000 library has the name, too
    r"ideogram(?!s|m)",
    r"leonardo\.? ?ai\b",
    r"recraft",
    r"krea\.ai",
    r"craiyon",
    r"nightcafe",
    r"starryai",
    r"playground ai",
    r"runwayml",
    r"stability[. ]?ai",
    r"dreamstudio",
    r"black ?forest ?labs",
    r"ai generated;",  # as the code of FLUX and what follows it have it
    r"novelai",
    r"tensor\.?art",
    r"seaart",
    r"civitai",
    r"pixai",
    r"artbreeder",
    r"wombo",
    r"this ?person ?does ?not ?exist",
    r"image creator from",
    r"amazon[ _]nova[ _]canvas|titan[ _]image[ _]generator",
    r"luma photon",
    r"getimg\.ai|pollinations|dezgo|mage\.space|bluewillow|higgsfield",
    r"шедеврум|shedevrum",
    # open models and their programs
    r"stable[- _]?diffusion",
    r"stable cascade",
    r"sdxl\b",
    r"flux[.-]?[12]\b",
    r"flux[- ](?:dev|schnell|pro|kontext)\b",
    r"automatic1111",
    r"comfy ?ui",
    r"invoke ?ai",
    r"fooocus",
    r"swarm ?ui",
    r"easy diffusion",
    r"diffusion ?bee",
    r"draw things",
    r"mochi diffusion",
    r"nmkd",
    r"ai horde",
    r"artbot",
    r"mflux",
    r"sd\.next\b",
    r"diffusers\b",
    r"pixart-",
    r"style ?gan",
    r"z-image\b",
    r"qwen-?image",
    r"hunyuan-?(?:image|dit)",
    r"cogview",
    r"kolors\b",
    r"deepfloyd|kandinsky[- ]?\d|hidream|lumina-image|omnigen\b|auraflow|sana[-_]\d",
    # Chinese services
    r"doubao|豆包",
    r"jimeng|即梦|dreamina",
    r"seedream",
    r"tongyi ?wanxiang|通义万相|wanx\b",
    r"文心一格|yige\.baidu|ernie-vilg",
    r"混元(?:生图|大模型)|hunyuan",
    r"kling ?ai|可灵",
    r"可图",
    r"liblib|哩布哩布",
    r"海艺",
    r"吐司在线",
    r"智谱清言",
    r"讯飞星火",
    r"秒画|sensemirage",
    r"海螺ai|hailuo",
)
_GENERATOR = re.compile(f"(?<![a-z])(?:{'|'.join(_NAMES)})", re.IGNORECASE)

#: IPTC digital source types (cv.iptc.org/newscodes/digitalsourcetype) that say a trained model made the
#: picture or part of it, and those that only allow it.
DECLARING_SOURCE_TYPES = frozenset(
    {"trainedalgorithmicmedia", "compositewithtrainedalgorithmicmedia", "trainedalgorithmicdata"}
)
HINTING_SOURCE_TYPES = frozenset({"algorithmicmedia", "compositesynthetic", "algorithmicallyenhanced"})


def names_generator(software: str) -> bool:
    """Whether the name that software gives itself is one of a generator of pictures."""
    return bool(software) and _GENERATOR.search(software[:500]) is not None


def source_type_name(value: str) -> str:
    """The last part of a digital source type, given as URL, as code with prefix, or bare."""
    return re.split(r"[/:#]", value.strip().rstrip("/"))[-1][:80]

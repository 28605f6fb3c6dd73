"""A folder of signs that can be told apart, and a scripted model that describes each of them honestly."""

import io
import json

from PIL import Image, ImageDraw, ImageFont

from ..captioner.server import Reply, images_of, texts_of

COLORS = {"red": "红色", "green": "绿色", "blue": "蓝色", "gray": "灰色"}


def background(i):
    """Color of picture `i`; `number_of` reads it back after resizing and JPEG."""
    return (40 + 24 * (i % 8), 40 + 24 * (i // 8), 120)


def lettering(i):
    return [f"SHOP {i}"] if i % 3 == 0 else []


def draw(i, size=(480, 360)):
    image = Image.new("RGB", size, background(i))
    pen = ImageDraw.Draw(image)
    pen.ellipse([size[0] * 0.4, 30, size[0] * 0.4 + 80, 110], fill="white")
    for text in lettering(i):
        pen.text((120, 180), text, (255, 255, 255), ImageFont.load_default(64))
    return image


def make_folder(folder, numbers):
    folder.mkdir(exist_ok=True)
    for i in numbers:
        draw(i).save(folder / f"{i:03d}.png")
    return folder


def number_of(data):
    """Which picture an encoded image is; None for another one."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    r, g, b = image.resize(
        (1, 1), Image.Resampling.BOX, (0, 0, image.width // 10, image.height // 10)
    ).getpixel((0, 0))
    if abs(b - 120) > 20:
        return None
    i = round((r - 40) / 24) + 8 * round((g - 40) / 24)
    return i if all(abs(x - y) <= 6 for x, y in zip(background(i), (r, g, b), strict=True)) else None


def asked_for(body):
    """`lettering` or `captions`, and the number of the picture."""
    images = images_of(body)
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("name", "")
    return schema, number_of(images[0]) if images else None


def reading_of(i):
    strings = [
        {"text": t, "lang": "en", "carrier": "sign", "cell": "center", "kind": "content", "legible": True}
        for t in lettering(i)
    ]
    return {"ocr": strings}


def captions_of(i, prompts=3):
    """An answer as a good model gives it."""
    color = list(COLORS)[i % 4]
    en_quoted = "".join(f" White capitals across the middle read “{t}”." for t in lettering(i))
    zh_quoted = "".join(f"中间的白色大写字母写着“{t}”。" for t in lettering(i))
    en = {
        "long": f"A wide {color} wooden sign stands upright before a smooth gray wall, seen from the front at eye level. "
        f"A round white plate hangs near the top edge of the sign, a little left of its center.{en_quoted} Soft daylight "
        f"from the left falls on the wood, and the ground below is dark asphalt with a thin painted stripe. It is sign {i}.",
        "medium": f"A {color} wooden sign with a round white plate stands before a gray wall in soft daylight, photographed "
        "from the front.",
        "short": f"A {color} wooden sign with a round white plate stands before a gray wall.",
        "tags": [f"{color} sign", "wood", "round plate", "gray wall", "daylight", "asphalt", "front view", "photo",
                 *(f"“{t}”" for t in lettering(i))],
        "user_prompts": [f"{color} sign", "round plate on wood", "asphalt, stripe", "wall in daylight"][:prompts],
    }  # fmt: skip
    hue = COLORS[color]
    zh = {
        "long": f"一块宽大的{hue}木牌直立在平整的灰墙前，从正面以平视角度拍摄。木牌上缘附近偏左的位置挂着一个白色圆盘。{zh_quoted}"
        "柔和的日光从左侧照在木头上，下方的地面是深色沥青，上面有一条细细的漆线。",
        "medium": f"一块带有白色圆盘的{hue}木牌立在灰墙前，日光柔和，从正面拍摄，地面是深色沥青。",
        "short": f"一块带有白色圆盘的{hue}木牌立在灰墙前。",
        "tags": [f"{hue}木牌", "木头", "圆盘", "灰墙", "日光", "沥青", "正面", "照片", *(f"“{t}”" for t in lettering(i))],
        "user_prompts": [f"{hue}木牌", "木头上的圆盘", "沥青地面，漆线", "日光下的墙"][:prompts],
    }  # fmt: skip
    return {"contradicted": [], "entities": [], "en": en, "zh": zh}


def honest(body):
    """What a good model answers to the stage's questions, and to any other."""
    schema, i = asked_for(body)
    if i is None:
        return Reply("gray")
    wanted = body["response_format"]["json_schema"]["schema"]["properties"]
    answer = reading_of(i) | (captions_of(i) if schema == "captions" else {})
    return Reply(json.dumps({k: v for k, v in answer.items() if k in wanted}, ensure_ascii=False))


def prompt_of(body):
    """All texts of a request as one string."""
    return "\n".join(texts_of(body))

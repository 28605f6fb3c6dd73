"""The rules of the prompt linter: each looks at one thing and says what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from . import prompt_lint_words as w
from .elements import Decomposition
from .elements_quotes import quoted_spans, script_counts, without_quotes
from .enhance_checks import announced_lettering, negations

MIN_WORDS = 8


@dataclass(frozen=True)
class Finding:
    """One thing to put right.

    Attributes:
        rule: its name, stable.
        severity: one of SEVERITIES.
        message, fix: for people, in the prompt's language (English or Chinese).
        found: words of the prompt it is about; "" where something is missing.
    """

    rule: str
    severity: str
    message: str
    fix: str
    found: str = ""


@dataclass(frozen=True)
class Look:
    prompt: str
    outside: str
    negative: str
    model: str
    lang: str
    photographic: bool
    parts: dict[str, str]
    elements: Decomposition

    def finding(
        self, rule: str, severity: str, en: tuple[str, str], zh: tuple[str, str], found: str = ""
    ) -> Finding:
        message, fix = zh if self.lang == "zh" else en
        return Finding(rule, severity, message, fix, found)


_MISSING = {
    "subject": (
        "error",
        ("no subject found", "say who or what the picture shows"),
        ("没有找到主体", "写明画面中是谁或是什么"),
    ),
    "intent": (
        "warning",
        (
            "no photographic intent",
            "begin with it: editorial, commercial, documentary, fashion, product, portrait",
        ),
        ("没有拍摄意图", "以意图开头：纪实、商业、时尚、产品、人像等"),
    ),
    "setting": (
        "warning",
        ("no setting", "add place, time of day and background"),
        ("没有场景", "补充地点、时间与背景"),
    ),
    "camera": (
        "warning",
        ("no camera or lens", "add body, lens and aperture, e.g. 85mm f/1.4"),
        ("没有相机与镜头", "补充机身、镜头与光圈，例如 85mm f/1.4"),
    ),
    "lighting": (
        "warning",
        ("no lighting", "add direction, quality and color temperature of the light"),
        ("没有光线", "补充光线的方向、软硬与色温"),
    ),
    "mood": (
        "tip",
        ("no mood", "add the emotional tone as it can be seen"),
        ("没有情绪氛围", "补充看得见的情绪基调"),
    ),
}


def _missing_parts(look: Look) -> list[Finding]:
    out = []
    for part, (severity, en, zh) in _MISSING.items():
        if look.parts[part] or (not look.photographic and part in ("camera", "intent")):
            continue
        out.append(look.finding(f"missing-{part}", severity, en, zh))
    return out


def _camera_details(look: Look) -> list[Finding]:
    if not look.parts["camera"] or not look.photographic:
        return []
    lacking = [
        (en, zh)
        for en, zh, pattern in (
            ("body", "机身", w.CAMERA_BODY),
            ("lens", "镜头", w.LENS),
            ("aperture", "光圈", w.APERTURE),
        )
        if not pattern.search(look.outside)
    ]
    if not lacking:
        return []
    names_en, names_zh = ", ".join(e for e, _ in lacking), "、".join(z for _, z in lacking)
    return [
        look.finding(
            "camera-details",
            "tip",
            (f"camera without {names_en}", "realism gains from all of body, lens and aperture"),
            (f"相机参数缺少{names_zh}", "机身、镜头、光圈写全更真实"),
            look.parts["camera"],
        )
    ]


def _intent_details(look: Look) -> list[Finding]:
    found = look.parts["intent"]
    if not w.BARE_INTENT.match(found) or not look.photographic:
        return []
    en = ("says only that it is a photo", "say what for: editorial, documentary, product...")
    return [look.finding("bare-intent", "tip", en, ("只说明是照片", "写明用途：纪实、商业、产品等"), found)]


def _light_direction(look: Look) -> list[Finding]:
    if not look.parts["lighting"] or w.LIGHT_DIRECTION.search(look.outside):
        return []
    en = ("the light has no direction", "say where it comes from, e.g. from the left, backlit")
    return [
        look.finding(
            "light-direction",
            "tip",
            en,
            ("光线没有方向", "写明光从哪里来，例如左侧光、逆光"),
            look.parts["lighting"],
        )
    ]


def _vague(look: Look) -> list[Finding]:
    out = []
    person = w.PERSON.search(look.outside)
    if person:
        names = {"age": "年龄", "clothing": "衣着", "expression": "表情", "pose": "姿势"}
        lacking = [k for k, pattern in w.PERSON_DETAILS.items() if not pattern.search(look.outside)]
        if len(lacking) >= 2:
            en = (f"the person has no {', '.join(lacking)}", "describe people hyper-specifically")
            zh = (f"人物缺少{'、'.join(names[k] for k in lacking)}", "人物要写得非常具体")
            out.append(look.finding("vague-subject", "warning", en, zh, person.group()))
        return out
    product = w.PRODUCT.search(look.outside)
    if product and not w.MATERIAL.search(look.outside):
        en = (
            "the product has no material or finish",
            "describe it like a spec sheet: material, size, color, finish",
        )
        return [
            look.finding(
                "vague-product",
                "warning",
                en,
                ("产品缺少材质与表面处理", "像规格表一样写：材质、尺寸、颜色、表面"),
                product.group(),
            )
        ]
    owners = {
        p for e in look.elements.elements if e.kind in ("attribute", "count", "text") for p in e.parents
    }
    subjects = [e for e in look.elements.of_kind("subject") if not e.negated]
    if subjects and subjects[0].id not in owners:
        en = ("the main subject has no attribute", "say what it looks like: color, material, size, state")
        out.append(
            look.finding(
                "vague-subject",
                "warning",
                en,
                ("主体没有任何属性", "写明颜色、材质、大小、状态"),
                subjects[0].text,
            )
        )
    return out


def _short(look: Look) -> list[Finding]:
    words = (
        len(re.findall(r"[^\W\d_\u3400-\u9fff]+", look.outside))
        + len(re.findall(r"[\u3400-\u9fff]", look.outside)) / 1.7
    )
    if words >= MIN_WORDS:
        return []
    en = (f"about {words:.0f} words", "the model draws what it reads; a prompt enhancer can fill in the rest")
    return [
        look.finding(
            "too-short", "warning", en, (f"约{words:.0f}个词", "模型只画读到的内容，可先用提示词增强")
        )
    ]


def _negative(look: Look) -> list[Finding]:
    if look.model == "turbo":
        if not look.negative:
            return []
        en = (
            "Turbo runs at guidance 0: the negative prompt does nothing",
            "say in the prompt what shall be there instead",
        )
        zh = ("Turbo 的 guidance 为 0，负面提示词不起作用", "改为在提示词中写明应该出现什么")
        return [look.finding("negative-turbo", "warning", en, zh, look.negative[:60])]
    if look.negative:
        return []
    en = ("no negative prompt", "for cleanup add one, e.g. blurry, distorted, extra fingers, watermark")
    return [
        look.finding("missing-negative", "tip", en, ("没有负面提示词", "可加：模糊、畸形、多余手指、水印"))
    ]


def _negations(look: Look) -> list[Finding]:
    if not negations(look.prompt):
        return []
    gone = [e.text for e in look.elements.elements if e.negated]
    where = "what stands behind 'no' or 'without' is drawn rather than left out"
    fix = "say what is there instead" + (" or move it to the negative prompt" if look.model == "base" else "")
    zh_fix = "改写成应该出现的内容" + ("，或移到负面提示词" if look.model == "base" else "")
    return [
        look.finding(
            "negation",
            "warning",
            (where, fix),
            ("否定写法里的东西反而容易被画出来", zh_fix),
            ", ".join(gone)[:60],
        )
    ]


def _video(look: Look) -> list[Finding]:
    hit = w.VIDEO.search(look.outside)
    if not hit:
        return []
    return [
        look.finding("video", "error", ("asks for moving pictures", "Z-Image makes still images only; describe one moment"),
                     ("要求的是动态画面", "Z-Image 只生成静态图像，请描述一个瞬间"), hit.group())
    ]  # fmt: skip


def _style_drift(look: Look) -> list[Finding]:
    art = w.ILLUSTRATION.search(look.outside)
    if art and w.PHOTOREAL.search(without_quotes(look.outside).replace(art.group(), " ")):
        en = ("mixes photography and illustration", "decide; for a photo say: photorealistic, photograph")
        return [
            look.finding(
                "style-mixed",
                "warning",
                en,
                ("同时出现摄影与插画", "二选一；要照片就写明写实摄影"),
                art.group(),
            )
        ]
    if art:
        en = (
            "a style far from photography",
            "the model is tuned for photorealism; describe the style's marks in detail",
        )
        return [
            look.finding(
                "style-range", "tip", en, ("非摄影风格", "模型偏写实，请详细描述该风格的特征"), art.group()
            )
        ]
    if not w.PHOTOREAL.search(look.outside) and look.photographic:
        en = ("nothing says that it is a photograph", "reinforce: photorealistic, photograph")
        return [look.finding("style-drift", "tip", en, ("没有说明是照片", "可写明：写实、摄影照片"))]
    return []


def _lettering(look: Look) -> list[Finding]:
    out = []
    for phrase in sorted(announced_lettering(look.prompt)):
        en = ("lettering without quotation marks", "put the exact text in quotation marks")
        out.append(
            look.finding("unquoted-text", "warning", en, ("文字没有加引号", "把要写的文字放进引号"), phrase)
        )
    for q in quoted_spans(look.prompt):
        other = set(script_counts(q.text)) - {"LATIN", "CJK", "FULLWIDTH"}
        if other:
            en = (
                "lettering in another script than Latin or Chinese",
                "text rendering is limited to English and Chinese",
            )
            out.append(
                look.finding(
                    "text-script", "warning", en, ("文字不是中文或英文", "文字渲染仅支持中英文"), q.text[:60]
                )
            )
    return out


def _hands(look: Look) -> list[Finding]:
    hit = w.HANDS.search(look.outside)
    if not hit or w.HANDS_SAID.search(look.outside):
        return []
    en = ("hands without a described position", "keep the pose simple and say where each hand is")
    return [
        look.finding("hands", "tip", en, ("没有写手的位置", "姿势尽量简单，并写明手放在哪里"), hit.group())
    ]


def _praise(look: Look) -> list[Finding]:
    hits = list(dict.fromkeys(m.group() for m in w.PRAISE.finditer(look.outside)))
    if not hits:
        return []
    en = ("praise says nothing that can be drawn", "describe light, material and composition instead")
    return [
        look.finding(
            "praise", "tip", en, ("夸赞词画不出来", "改为描述光线、材质与构图"), ", ".join(hits)[:60]
        )
    ]


def _iterate(look: Look) -> list[Finding]:
    if look.model != "base" or any(f for f in (look.parts["camera"],) if f):
        return []
    en = ("a draft on the slower model", "iterate with Turbo, use the base model for finals")
    return [
        look.finding("turbo-for-drafts", "tip", en, ("用较慢的模型打草稿", "先用 Turbo 迭代，定稿再用标准版"))
    ]


RULES: tuple[Callable[[Look], list[Finding]], ...] = (
    *(_missing_parts, _vague, _short, _video, _negative, _negations, _lettering, _style_drift),
    *(_camera_details, _intent_details, _light_direction, _hands, _praise, _iterate),
)

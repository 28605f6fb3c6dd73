"""What a prompt for Z-Image lacks: the photographic structure, known mistakes, and what the model cannot do.

By patterns in English and Chinese, without a model. A finding is advice about words: it cannot see what is drawn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import prompt_lint_words as w
from .elements import Decomposition, elements
from .elements_quotes import without_quotes
from .enhance_language import pack_language
from .prompt_lint_rules import RULES, Finding, Look

PARTS = ("intent", "subject", "setting", "camera", "lighting", "mood", "negative")
SEVERITIES = ("tip", "warning", "error")
#: `turbo` runs without classifier-free guidance (guidance 0): a negative prompt is never looked at.
MODELS = ("turbo", "base")

_NEGATIVE_LINE = re.compile(
    r"^\s*\[?(?:negative(?: prompt)?|负面提示词?|反向提示词?|负向提示词?)\]?\s*[:：]\s*(.*)$", re.I | re.M
)
_LABEL = re.compile(r"^\s*\[(intent|subject|setting|camera|lighting|mood)\]\s*[:：]\s*(\S.*)$", re.I | re.M)


@dataclass(frozen=True)
class LintReport:
    """`parts`: part of the structure -> what of the prompt fills it, "" where nothing does."""

    prompt: str
    negative: str
    lang: str
    model: str
    photographic: bool
    parts: dict[str, str]
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> str:
        """Highest severity found; "" for a prompt without findings."""
        return max((f.severity for f in self.findings), key=SEVERITIES.index, default="")

    def facts(self) -> dict[str, object]:
        """JSON-able."""
        return {**vars(self), "findings": [dict(vars(f)) for f in self.findings], "worst": self.worst}


def lint(prompt: str, model: str = "turbo", negative: str = "") -> LintReport:
    """Look a prompt over.

    Args:
        prompt: may hold a line `Negative: ...`, or lines `[INTENT]: ...` of the template.
        model: one of MODELS.
        negative: a negative prompt given apart.

    Raises:
        ValueError: unknown model.
    """
    if model not in MODELS:
        raise ValueError(f"model is {model!r}; there are {', '.join(MODELS)}")
    lines = _NEGATIVE_LINE.findall(prompt)
    negative = "; ".join(x.strip() for x in (*lines, negative) if x.strip())
    positive = _NEGATIVE_LINE.sub("", prompt).strip()
    lang = pack_language(positive)
    outside = without_quotes(positive)
    found = elements(positive)
    labels = {k.lower(): v.strip() for k, v in _LABEL.findall(positive)}
    photographic = not (
        w.ILLUSTRATION.search(outside) and not (w.CAMERA_BODY.search(outside) or w.LENS.search(outside))
    )
    parts = _parts(outside, found, negative) | labels
    look = Look(positive, outside, negative, model, lang, photographic, parts, found)
    findings = [f for rule in RULES for f in rule(look)]
    findings.sort(key=lambda f: -SEVERITIES.index(f.severity))
    return LintReport(positive, negative, lang, model, photographic, parts, tuple(findings))


def _parts(outside: str, found: Decomposition, negative: str) -> dict[str, str]:
    def first(*patterns: re.Pattern[str]) -> str:
        hits = [m.group().strip()[:60] for p in patterns if (m := p.search(outside))]
        return ", ".join(dict.fromkeys(hits))

    subjects = [e.text for e in found.of_kind("subject") if not e.negated]
    return {
        "intent": first(w.INTENT),
        "subject": subjects[0] if subjects else "",
        "setting": first(w.SETTING),
        "camera": first(w.CAMERA_BODY, w.LENS, w.APERTURE),
        "lighting": first(w.LIGHTING),
        "mood": first(w.MOOD),
        "negative": negative,
    }

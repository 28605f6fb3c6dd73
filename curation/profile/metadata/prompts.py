"""Recognizes the settings that generators write next to their pictures: by structure, never by words."""

from __future__ import annotations

import json
import re

_MAX_CHARS = 1 << 17

# The line of settings of the AUTOMATIC1111 web interface, which many others imitate.
_STEPS = re.compile(r"(?:^|[\n,.] *)Steps: *\d{1,5}\b")
_OTHER_SETTINGS = re.compile(
    r"\b(Sampler|CFG scale|Seed|Model hash|Schedule type|Denoising strength): *[\w+-]|\b(Size): *\d+x\d"
)
#: What simulations have, too.
_COMMON_SETTINGS = frozenset({"Seed", "Size"})

_JSON_KEY = re.compile(r'"([^"\\]{1,40})"\s*:')
_PROMPT = re.compile(r'"(?:prompt|positive_prompt|positive|prompts)"\s*:\s*[\["{]', re.IGNORECASE)
#: As Draw Things calls the prompt, and what it writes beside it.
_SHORT_PROMPT, _BESIDE_IT = re.compile(r'"c"\s*:\s*"'), frozenset({"uc", "sampler"})
_SETTING_KEYS = frozenset(
    {
        "seed",
        "steps",
        "num_inference_steps",
        "sampler",
        "sampler_name",
        "scheduler",
        "cfg_scale",
        "cfg",
        "scale",
        "guidance_scale",
        "guidance",
        "negative_prompt",
        "uc",
        "loras",
        "model_hash",
        "base_model_name",
        "base_model",
    }
)
#: Settings of which two alone may be those of any experiment with a prompt.
_WEAK_KEYS = frozenset({"steps", "scale"})
_JOB_ID = re.compile(
    r"\bJob ID: ?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\s*$", re.IGNORECASE
)
_FLAG = re.compile(
    r"\s--(?:v|ar|s|q|c|w|iw|sref|cref|no|stylize|style|chaos|weird|niji|seed|raw|quality|version|aspect|tile|profile|p)\b"
)
_INVOKE_FLAGS = re.compile(r" -s ?\d+ .*-S ?\d+")

_AIGC_KEYS = frozenset({"ContentProducer", "ProduceID", "ContentPropagator", "PropagateID"})


def settings_found(text: str) -> str:
    """Names of the generation settings in a text, e.g. `Steps, Sampler, Seed`; empty if it holds none.

    Recognized: a line of AUTOMATIC1111 settings (steps and two others at least, one of which only generators have), and a
    JSON object with a prompt and two settings at least, or of a known program.
    """
    text = text[:_MAX_CHARS]
    if _STEPS.search(text):
        others = list(dict.fromkeys(one or size for one, size in _OTHER_SETTINGS.findall(text)))
        if len(others) >= 2 and not _COMMON_SETTINGS.issuperset(others):
            return ", ".join(["Steps", *others[:3]])
    if text.lstrip()[:1] != "{":
        return ""
    keys = dict.fromkeys(k.lower() for k in _JSON_KEY.findall(text))
    if "sui_image_params" in keys:
        return "sui_image_params"
    if "fooocus" in text[:4096].lower() and "prompt" in keys:
        return "Fooocus JSON"
    settings = [k for k in keys if k in _SETTING_KEYS]
    prompted = _PROMPT.search(text) or (_SHORT_PROMPT.search(text) and not _BESIDE_IT.isdisjoint(keys))
    if prompted and len(settings) >= 2 and not _WEAK_KEYS.issuperset(settings):
        return ", ".join(["prompt", *settings[:3]])
    return ""


def is_comfy_graph(text: str) -> bool:
    """Whether a text is a ComfyUI graph: its prompt (nodes with class_type) or its workflow (nodes, and what no other
    graph has)."""
    head = text[:_MAX_CHARS]
    if head.lstrip()[:1] != "{":
        return False
    keys = set(_JSON_KEY.findall(head))
    return {"class_type", "inputs"} <= keys or (
        "nodes" in keys and not keys.isdisjoint({"last_node_id", "last_link_id", "widgets_values"})
    )


def is_invoke_line(text: str) -> bool:
    """Whether a text is a command line of early InvokeAI (`"a prompt" -s 50 -S 42 ...`)."""
    return bool(_INVOKE_FLAGS.search(text[:4096]))


def has_job_id(text: str) -> bool:
    """Whether a text ends with a job number, as Midjourney writes it behind a prompt; so may other programs."""
    return bool(_JOB_ID.search(text[:_MAX_CHARS]))


def has_flags(text: str) -> bool:
    """Whether a text has settings as Midjourney writes them into a prompt, e.g. `--ar 3:2 --v 6`."""
    return bool(_FLAG.search(text[:_MAX_CHARS]))


def aigc_label(text: str) -> dict[str, str] | None:
    """The label of GB 45438-2025 (TC260) in a text: its JSON object, or one that holds it as `AIGC`.

    Returns:
        its keys (`Label`, `ContentProducer`, ...) and values as text; None if the text is none.
    """
    if len(text) > 1 << 16 or text.lstrip()[:1] != "{":
        return None
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            value = value.get("AIGC", value.get("aigc", value))
        if isinstance(value, str):
            value = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or _AIGC_KEYS.isdisjoint(value):
        return None
    return {str(k): str(v)[:200] for k, v in value.items() if isinstance(v, str | int)}

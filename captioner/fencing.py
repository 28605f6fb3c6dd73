"""Untrusted text inside a prompt: marked as data, unable to end its own fence or to speak the chat template."""

from __future__ import annotations

import re
import unicodedata

MAX_CHARS = 4_000

#: Tokens by which chat templates separate turns and place images. Inside a text they would open a turn of their own.
_CONTROL_TOKEN = re.compile(
    r"<\|[^<>|]{0,64}\|>|<｜[^<>｜]{0,64}｜>"
    r"|</?(?:s|bos|eos|pad|unk|mask|image|img|video|audio|think|thinking|tool_call|tool_response|tools"
    r"|start_of_turn|end_of_turn|start_of_image|end_of_image|image_soft_token|system|user|assistant)>"
    r"|\[/?(?:INST|SYS|IMG|IMG_BREAK|IMG_END|TOOL_CALLS|AVAILABLE_TOOLS|SYSTEM_PROMPT)\]|<</?SYS>>"
    r"|</?untrusted\b[^<>]{0,200}>?",
    re.I,
)
#: Times that tokens are looked for in what remains.
MAX_PASSES = 6
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WITHOUT_BRACKETS = str.maketrans(dict.fromkeys("<>[]"))
_LABEL = re.compile(r"[a-z][a-z0-9_ ]{0,40}")
#: Format characters that carry meaning in writing: zero-width joiners shape emoji and several scripts.
_JOINERS = "\u200c\u200d"


def plain(text: str, max_chars: int = MAX_CHARS) -> str:
    """Text without control tokens of chat templates, control and direction characters; cut at `max_chars`.

    Line breaks and tabs stay. Stable: plain(plain(x)) == plain(x).
    """
    text = "".join(c for c in text[: 8 * max_chars] if c in "\n\t" or c in _JOINERS or _writes(c))
    for _ in range(MAX_PASSES):  # taking one token out may put another together
        stripped = _CONTROL_TOKEN.sub(" ", text)
        if stripped == text:
            break
        text = stripped
    else:  # nested on purpose: nothing of the kind can be left without brackets
        text = text.translate(_WITHOUT_BRACKETS)
    if len(text) > max_chars:
        text = text[: max_chars - 1].rstrip() + "…"
    return text.strip()


def _writes(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")


def without_controls(text: str) -> str:
    """Text without control characters other than line breaks and tabs, which no picture shows and files choke on."""
    return _CONTROL.sub("", text)


def has_control_token(text: str) -> bool:
    """Whether `plain` would take a control token out of a text."""
    return bool(_CONTROL_TOKEN.search(text))


def fence(label: str, text: str, max_chars: int = MAX_CHARS) -> str:
    """Untrusted text between marks that it cannot contain.

    Args:
        label: what it is, `[a-z][a-z0-9_ ]*`.

    Raises:
        ValueError: for another label, which would be our own mistake.
    """
    if not _LABEL.fullmatch(label):
        raise ValueError(f"label {label!r} must match {_LABEL.pattern}")
    return f'<untrusted name="{label}">\n{plain(text, max_chars)}\n</untrusted>'

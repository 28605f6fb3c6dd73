"""`zcurate enhance`, `elements` and `prompt-lint`: what they do, apart from reading arguments and printing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zcurate.captioner.answers import AnswerError
from zcurate.captioner.chat import Chat, ChatError
from zcurate.captioner.elements import Decomposition, elements
from zcurate.captioner.enhancer import Enhanced, Options, enhance
from zcurate.captioner.prompt_lint import LintReport, lint
from zcurate.curation.errors import ConfigError, ZcurateError

from . import registry

MAX_INPUT_BYTES = 8 << 20


def chat_of(model: str) -> Chat:
    """The chat engine of `--vlm`. Raises ConfigError for one that answers no questions."""
    engine = registry.resolve("vlm", model)
    if not hasattr(engine, "ask"):
        raise ConfigError(
            f"--vlm {model!r} answers no questions; give openai:URL#MODEL or transformers:DIRECTORY_OR_ID"
        )
    return engine


def read_prompts(prompt: str | None, file: Path | None, lines: bool) -> list[str]:
    """Prompts of an argument, a file or standard input (`-`). Raises ConfigError: none, unreadable, too large."""
    if (prompt is None) == (file is None):
        raise ConfigError("give one prompt, or --file FILE; - reads standard input")
    if prompt not in (None, "-"):
        text = prompt
    else:
        source = file if file is not None and str(file) != "-" else None
        try:
            data = source.read_bytes() if source else sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        except OSError as e:
            raise ConfigError(f"{source}: {e.strerror}") from e
        if len(data) > MAX_INPUT_BYTES:
            raise ConfigError(f"{source or 'standard input'}: larger than {MAX_INPUT_BYTES >> 20} MiB")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as e:
            raise ConfigError(
                f"{source or 'standard input'}: not UTF-8 ({e.reason} at byte {e.start})"
            ) from e
    found = [line.strip() for line in text.splitlines() if line.strip()] if lines else [text.strip()]
    if not any(found):
        raise ConfigError("the prompt is empty")
    return found


def enhance_prompt(
    prompt: str,
    vlm: str,
    images: Sequence[Path],
    reasoning: bool,
    photo: bool,
    tries: int,
    deadline_s: float,
    locked: Sequence[str],
) -> Enhanced:
    """Enhance one prompt. Raises ConfigError for what the user can put right."""
    try:
        pictures = [path.read_bytes() for path in images]
    except OSError as e:
        raise ConfigError(f"--image {e.filename}: {e.strerror}") from e
    options = Options("photo" if photo else "auto", tries, deadline_s, locked=tuple(locked))
    try:
        return enhance(prompt, pictures, reasoning, chat=chat_of(vlm), options=options)
    except ChatError as e:
        raise ConfigError(f"--vlm {vlm}: {e}") from e
    except ValueError as e:
        raise ConfigError(str(e)) from e


def prompt_elements(prompts: Sequence[str], vlm: str | None) -> list[Decomposition]:
    """Elements of prompts, by rules or by a model. Raises ConfigError; ZcurateError: the model gave no usable answer."""
    if vlm is None:
        return [elements(p) for p in prompts]
    from zcurate.captioner.elements_vlm import elements_by_model

    found = []
    for prompt in prompts:
        try:
            found.append(elements_by_model(prompt, chat_of(vlm)))
        except AnswerError as e:
            raise ZcurateError(f"--vlm {vlm}: {e}") from e
        except ChatError as e:
            raise ConfigError(f"--vlm {vlm}: {e}") from e
        except ValueError as e:
            raise ConfigError(str(e)) from e
    return found


def lint_prompts(prompts: Sequence[str], model: str, negative: str) -> list[LintReport]:
    """Look prompts over. Raises ConfigError for an unknown model."""
    try:
        return [lint(p, model, negative) for p in prompts]
    except ValueError as e:
        raise ConfigError(f"--model: {e}") from e


def tree_of(found: Decomposition) -> list[tuple[int, Any]]:
    """(depth, element) in reading order: every element below its first parent, relations below who acts."""
    children: dict[str, list[Any]] = {}
    for e in found.elements:
        children.setdefault(e.parents[0] if e.parents else "", []).append(e)
    out: list[tuple[int, Any]] = []

    def walk(parent: str, depth: int) -> None:
        for e in children.get(parent, ()):
            out.append((depth, e))
            walk(e.id, depth + 1)

    walk("", 0)
    return out

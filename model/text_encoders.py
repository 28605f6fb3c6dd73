"""Prompts to features: what a text encoder is, Qwen3 as the released model uses it, and a cache."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from .errors import ModelConfigError, ModelWarning

#: The released pipelines cut templated prompts here.
MAX_TOKENS = 512


class TextEncoder(Protocol):
    """Features of prompts. `module` is what device placement and quantization act on; None: nothing to place."""

    feat_dim: int
    module: nn.Module | None

    def encode(self, prompt: str, references: int = 0) -> tuple[Tensor, ...]:
        """[tokens, feat_dim] of the prompt; for editing with k references, of its k + 2 segments."""


def segments(prompt: str, references: int) -> list[str]:
    """A prompt for editing, cut where images go: before each reference, before the target, behind it.

    Raises ModelConfigError for fewer than 1 reference.
    """
    if references < 1:
        raise ModelConfigError(f"{references} references: editing needs at least one")
    return [
        "<|im_start|>user\n<|vision_start|>",
        *["<|vision_end|><|vision_start|>"] * (references - 1),
        f"<|vision_end|>{prompt}<|im_end|>\n<|im_start|>assistant\n<|vision_start|>",
        "<|vision_end|><|im_end|>",
    ]


class Qwen3TextEncoder:
    """Hidden states of Qwen3 before its last layer, without the final norm, of the chat-templated prompt.

    The last layer is not loaded. Prompts run one by one, unpadded: a causal model gives the same features
    as with the 512 padded positions of the released pipeline, for a fraction of the work.
    """

    def __init__(self, model: nn.Module, tokenizer) -> None:
        self.module, self.tokenizer = model, tokenizer
        self.feat_dim = model.config.hidden_size

    @classmethod
    def load(
        cls, encoder: Path | str, tokenizer: Path | str, dtype: torch.dtype = torch.float32
    ) -> Qwen3TextEncoder:
        """From the text_encoder and tokenizer folders of a pipeline. Raises ModelConfigError.

        Only local safetensors are read, and no code of the folder is run.
        """
        from transformers import AutoTokenizer, Qwen3Config, Qwen3Model

        try:
            kind = json.loads((Path(encoder) / "config.json").read_text("utf-8")).get("model_type")
            if kind != "qwen3":
                raise ModelConfigError(f"{encoder}: model_type is {kind!r}; only qwen3 is supported")
            config = Qwen3Config.from_pretrained(encoder, local_files_only=True)
            layers = config.num_hidden_layers
            config.num_hidden_layers, config.layer_types = layers - 1, config.layer_types[: layers - 1]
            # The tensors of the layer left out are reported as unexpected, at length.
            with quiet_transformers():
                model, report = Qwen3Model.from_pretrained(
                    encoder,
                    config=config,
                    dtype=dtype,
                    use_safetensors=True,
                    local_files_only=True,
                    output_loading_info=True,
                )
            tokenizer = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
        except (OSError, ValueError, TypeError) as error:
            raise ModelConfigError(f"{encoder}: not a Qwen3 text encoder and tokenizer: {error}") from error
        missing = sorted(report["missing_keys"])
        if missing:
            raise ModelConfigError(
                f"{encoder}: {len(missing)} tensors are missing, among them {', '.join(missing[:3])}"
            )
        model.norm = nn.Identity()
        return cls(model.eval().requires_grad_(False), tokenizer)

    @torch.no_grad()
    def encode(self, prompt: str, references: int = 0) -> tuple[Tensor, ...]:
        if references:
            texts = segments(prompt, references)
        else:
            message = [{"role": "user", "content": prompt}]
            texts = [
                self.tokenizer.apply_chat_template(
                    message, tokenize=False, add_generation_prompt=True, enable_thinking=True
                )
            ]
        return tuple(self._states(text) for text in texts)

    def _states(self, text: str) -> Tensor:
        tokens = self.tokenizer(text)["input_ids"]
        if len(tokens) > MAX_TOKENS:
            warnings.warn(
                f"the prompt has {len(tokens)} tokens; those behind the first {MAX_TOKENS} are not seen",
                ModelWarning,
                stacklevel=4,
            )
        ids = torch.tensor([tokens[:MAX_TOKENS]], device=self.module.embed_tokens.weight.device)
        return self.module(input_ids=ids, use_cache=False).last_hidden_state[0]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the loading reports and progress bars of transformers inside a `with`."""
    from transformers.utils import logging

    level, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bars:
            logging.enable_progress_bar()


class PromptCache:
    """A text encoder that remembers the features of its latest prompts, on the CPU, by hash."""

    def __init__(self, encoder: TextEncoder, entries: int = 256) -> None:
        self.encoder, self.entries = encoder, entries
        self.hits = self.misses = 0
        self._kept: OrderedDict[str, tuple[Tensor, ...]] = OrderedDict()

    @property
    def feat_dim(self) -> int:
        return self.encoder.feat_dim

    @property
    def module(self) -> nn.Module | None:
        return self.encoder.module

    def holds(self, asked: Sequence[tuple[str, int]]) -> bool:
        """Whether all (prompt, references) are known, so that the encoder need not be placed anywhere."""
        return all(self._key(*one) in self._kept for one in asked)

    def encode(self, prompt: str, references: int = 0) -> tuple[Tensor, ...]:
        key = self._key(prompt, references)
        if key in self._kept:
            self.hits += 1
            self._kept.move_to_end(key)
            return self._kept[key]
        self.misses += 1
        features = tuple(f.cpu() for f in self.encoder.encode(prompt, references))
        self._kept[key] = features
        while len(self._kept) > self.entries:
            self._kept.popitem(last=False)
        return features

    @staticmethod
    def _key(prompt: str, references: int) -> str:
        return hashlib.sha256(f"{references}\0{prompt}".encode()).hexdigest()

"""`transformers:DIR_OR_ID`: a Qwen2.5-VL or Qwen3-VL style chat model in this process; `DIR_OR_ID+ADAPTER` with a LoRA.

transformers cannot enforce a schema while it decodes, so a request's schema goes into the prompt; the answer is parsed
and checked like any other.
"""

from __future__ import annotations

import asyncio
import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..chat import ChatAnswer, ChatError, ChatRequest, ImagePart
from .adapters import AdapterError, insert, read_adapter, split_adapter
from .address import AddressError
from .images import fit
from .wire import schema_note, without_reasoning

#: Sides of the picture, tried in order while the prompt is longer than the model's context.
_SCALES = (1.0, 0.7, 0.5)


@dataclass(frozen=True)
class LocalSettings:
    """How a model in this process is run.

    Attributes:
        image_tokens: budget per picture in tokens of 28 x 28 px; the model's own processor may lower it.
        batch: questions answered at once; halved when memory does not suffice.
        linger_s: wait for more questions before a batch that is not full.
        device: "cuda", "cpu", or None for a GPU where there is one.
    """

    image_tokens: int = 1280
    batch: int = 8
    linger_s: float = 0.02
    device: str | None = None


@dataclass
class _Waiting:
    request: ChatRequest
    future: asyncio.Future[ChatAnswer] = field(repr=False)

    def length(self) -> tuple[int, int]:
        """Length of answer and prompt, roughly; questions of like length share a batch."""
        parts = self.request.parts
        texts = sum(len(p) for p in parts if isinstance(p, str)) + len(self.request.system)
        return self.request.max_tokens, texts // 3 + 1000 * sum(isinstance(p, ImagePart) for p in parts)


class TransformersChat:
    """A `Chat` over `AutoModelForImageTextToText`: bf16 on a GPU, fp32 on a CPU, weights from safetensors only.

    Concurrent `ask`s are answered in batches, off the event loop, by one thread. Rows of a batch do not depend on each
    other: each is sampled with its own settings and its own seed.
    """

    engine = "transformers"
    placeholder = False

    def __init__(self, argument: str, settings: LocalSettings = LocalSettings()):
        if not argument.strip():
            raise AddressError("write transformers:DIRECTORY or transformers:ORGANIZATION/MODEL")
        self.model = argument
        self._base, self._adapter = split_adapter(argument)
        self.settings = settings
        self._batch = settings.batch
        self._processor: Any = None
        self._network: Any = None
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: list[_Waiting] = []
        self._runner: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Read the model. Raises ChatError: `missing_model`, fatal, where there is none that can be used."""
        if self._network is not None:
            return
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

        device = self.settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        try:
            self._processor = AutoProcessor.from_pretrained(self._base, trust_remote_code=False)
            network = AutoModelForImageTextToText.from_pretrained(
                self._base, dtype=dtype, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as e:
            raise ChatError(
                "missing_model",
                f"{self._base!r} is no vision-language chat model in safetensors format: {str(e)[:300]}",
                fatal=True,
            ) from e
        tokenizer = getattr(self._processor, "tokenizer", None)
        if tokenizer is None or not (self._processor.chat_template or tokenizer.chat_template):
            raise ChatError(
                "missing_model", f"{self._base!r} has no chat template; use an -Instruct model", True
            )
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        ends = network.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self._ends = {e for e in (*ends, tokenizer.eos_token_id) if e is not None}
        # The model's own sampling defaults (repetition penalty, top_k) would be applied on top of the request's.
        network.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=sorted(self._ends), pad_token_id=tokenizer.pad_token_id
        )
        self._special = sorted(set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab()), key=len)
        text_config = network.config.get_text_config()
        self._context = int(getattr(text_config, "max_position_embeddings", 0) or 32768)
        network = network.to(device)
        if self._adapter is not None:
            self._insert(network, self._adapter)
        self._network = network.eval()

    def _insert(self, network: Any, folder: str) -> None:
        try:
            insert(network, read_adapter(folder))
        except AdapterError as e:
            raise ChatError("missing_model", str(e), fatal=True) from e
        except ModuleNotFoundError as e:
            if e.name != "peft":
                raise
            raise ChatError("missing_model", f"{folder} is a LoRA adapter: pip install peft", True) from e

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        if self._network is None:
            self.load()
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return await waiting.future

    async def close(self) -> None:
        if self._runner is not None and not self._runner.done():
            self._runner.cancel()
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        self._runner = self._thread = None

    async def _run(self) -> None:
        """Answer what waits, batch by batch, until nothing does."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="vlm")
        loop = asyncio.get_running_loop()
        while self._waiting:
            if len(self._waiting) < self._batch:
                await asyncio.sleep(self.settings.linger_s)
            batch = self._take()
            if not batch:
                continue
            began = time.monotonic()
            requests = [w.request for w in batch]
            try:
                answers = await loop.run_in_executor(self._thread, self._answer, requests)
            except asyncio.CancelledError:
                for w in batch:
                    w.future.cancel()
                raise
            except Exception as e:  # noqa: BLE001 - raised where the answers are awaited
                for w in batch:
                    if not w.future.done():
                        w.future.set_exception(e)
                continue
            seconds = time.monotonic() - began
            for w, answer in zip(batch, answers, strict=True):
                if w.future.done():
                    continue
                if isinstance(answer, ChatError):
                    w.future.set_exception(answer)
                else:
                    text, finish, tokens_in, tokens_out = answer
                    w.future.set_result(
                        ChatAnswer(text, finish, tokens_in, tokens_out, seconds, model=self.model)
                    )

    def _take(self) -> list[_Waiting]:
        """The oldest question and those most like it in length."""
        self._waiting = [w for w in self._waiting if not w.future.done()]
        if not self._waiting:
            return []
        oldest = self._waiting[0].length()
        near = sorted(
            self._waiting[1:], key=lambda w: [abs(a - b) for a, b in zip(w.length(), oldest, strict=True)]
        )
        batch = [self._waiting[0], *near[: self._batch - 1]]
        taken = {id(w) for w in batch}
        self._waiting = [w for w in self._waiting if id(w) not in taken]
        return batch

    def _answer(self, requests: list[ChatRequest]) -> list[tuple[str, str, int, int] | ChatError]:
        """In the thread: prompts made one by one, so that a broken picture fails its own row only."""
        prompts: list[Any] = []
        for request in requests:
            try:
                prompts.append(self._prompt(request))
            except ChatError as e:
                prompts.append(e)
        good = [i for i, p in enumerate(prompts) if not isinstance(p, ChatError)]
        answers = self._generate([prompts[i] for i in good], [requests[i] for i in good])
        out: list[tuple[str, str, int, int] | ChatError] = list(prompts)
        for i, answer in zip(good, answers, strict=True):
            out[i] = answer
        return out

    def _prompt(self, request: ChatRequest) -> tuple[str, list[Any]]:
        """(text, pictures) of a request, within the model's context. Raises ChatError."""
        text, pictures, length = self._fitted(request)
        room = self._context - request.max_tokens
        if length > room:
            raise ChatError(
                "rejected",
                f"the prompt has {length} tokens; {self.model} has room for {room} beside the answer",
            )
        return text, pictures

    def _fitted(self, request: ChatRequest) -> tuple[str, list[Any], int]:
        """(text, pictures, tokens), the pictures smaller where they do not fit; they may still not fit then."""
        from PIL import Image

        system = system_text(request)
        content = [
            {"type": "text", "text": self._plain(p)} if isinstance(p, str) else {"type": "image"}
            for p in request.parts
        ]
        messages = (
            [{"role": "system", "content": [{"type": "text", "text": self._plain(system)}]}] if system else []
        )
        messages.append({"role": "user", "content": content})
        text = self._processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        images = [p.data for p in request.parts if isinstance(p, ImagePart)]
        room = self._context - request.max_tokens
        for scale in _SCALES if images else (1.0,):
            fitted = [fit(data, self.settings.image_tokens, scale)[0] for data in images]
            pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in fitted]
            length = self._inputs([text], pictures)["input_ids"].shape[1]
            if length <= room:
                break
        return text, pictures, length

    def _plain(self, text: str) -> str:
        """A text in which nothing is one of the model's control tokens (of a turn, of a picture)."""
        for token in self._special:
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _inputs(self, texts: list[str], pictures: list[Any]) -> Any:
        return self._processor(text=texts, images=pictures or None, padding=True, return_tensors="pt")

    def _generate(
        self, prompts: list[tuple[str, list[Any]]], requests: list[ChatRequest]
    ) -> list[tuple[str, str, int, int] | ChatError]:
        """One batch; halves where memory does not suffice."""
        if not prompts:
            return []
        try:
            return list(self._forward(prompts, requests))
        except (RuntimeError, MemoryError) as e:
            if not _is_memory(e):
                raise
            message = str(e).splitlines()[0][:200]
        _free_memory()  # outside of the handler, whose traceback holds the tensors
        if len(prompts) == 1:
            return [
                ChatError("memory", f"no room for one question ({message}); lower image_tokens or max_tokens")
            ]
        half = len(prompts) // 2
        self._batch = max(1, min(self._batch, half))
        return self._generate(prompts[:half], requests[:half]) + self._generate(
            prompts[half:], requests[half:]
        )

    def _forward(
        self, prompts: list[tuple[str, list[Any]]], requests: list[ChatRequest]
    ) -> list[tuple[str, str, int, int]]:
        import torch
        from transformers import LogitsProcessorList, StoppingCriteriaList

        from .sampling import RowLimits, RowSampling

        inputs = self._inputs([t for t, _ in prompts], [p for _, ps in prompts for p in ps])
        inputs = inputs.to(self._network.device, dtype=self._network.dtype)
        width = inputs["input_ids"].shape[1]
        limits = [r.max_tokens for r in requests]
        with torch.inference_mode():
            out = self._network.generate(
                **inputs,
                max_new_tokens=max(limits),
                logits_processor=LogitsProcessorList([RowSampling([r.sampling for r in requests], width)]),
                stopping_criteria=StoppingCriteriaList([RowLimits(limits, width)]),
            )
        answers = []
        for row, limit, mask in zip(out[:, width:].tolist(), limits, inputs["attention_mask"], strict=True):
            row = row[:limit]
            end = next((i for i, token in enumerate(row) if token in self._ends), None)
            finish = "length" if end is None else "stop"
            text = self._processor.tokenizer.decode(row[:end], skip_special_tokens=True)
            text = without_reasoning(text).strip("\0")
            if not text.strip() and finish == "stop":
                text, finish = "", "empty"
            answers.append((text, finish, int(mask.sum()), len(row) if end is None else end + 1))
        return answers


def system_text(request: ChatRequest) -> str:
    """The system turn as this engine shows it: with the schema in words."""
    if request.schema is None:
        return request.system
    return f"{request.system}\n\n{schema_note(request.schema)}".strip()


def _is_memory(error: BaseException) -> bool:
    words = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in words or "can't allocate memory" in words


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

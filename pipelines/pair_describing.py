"""Instructions for pairs of real pictures, from a vision-language model that looks at both. Never from anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import Field

from zcurate.captioner.answers import AnswerError
from zcurate.captioner.difference_asking import captions_by, describe_pair, load_pack
from zcurate.captioner.packs import PackError
from zcurate.captioner.schema import CaptionError
from zcurate.curation.edits.checks import REJECT
from zcurate.curation.edits.video.choosing import NO_INSTRUCTION, instructed
from zcurate.curation.errors import ConfigError, SampleError
from zcurate.curation.stage import OK, NullMonitor
from zcurate.curation.store.answers import answers_folder

from .chat_settings import ChatSettings, model_identity, open_chat, prices_of
from .originals import picture

if TYPE_CHECKING:
    from .context import StageContext

_SCHEMA = pa.schema([(n, pa.string()) for n in ("forward_en", "forward_zh", "backward_en", "backward_zh")])


class DescribingSettings(ChatSettings):
    """Which model instructs the pairs; without one they are kept, rejected for want of an instruction."""

    engine: str | None = Field(
        None,
        description="`openai:URL#MODEL` or `transformers:DIRECTORY_OR_ID`; default: none, pairs are rejected with "
        "the reason no_instruction until the stage is run again with a model",
    )


class PairDescriber:
    """Fills the instructions of pairs that lack nothing else. Inert without an engine."""

    def __init__(self, settings: DescribingSettings, ctx: StageContext, stage: str) -> None:
        self._settings, self._ctx, self._stage = settings, ctx, stage
        self.identity: str | None = None
        self._chat: Any = None
        if settings.engine is None:
            return
        self.identity = model_identity(settings, ctx, stage)
        prices_of(settings, stage)
        try:
            self._pack = load_pack(settings.engine, settings.prompts)
        except PackError as e:
            raise ConfigError(f"stages.{stage}: {e}") from e

    @property
    def models(self) -> dict[str, str]:
        """For `StageSpec.models`."""
        return {} if self.identity is None else {"vlm": self.identity}

    @property
    def answers(self) -> str | None:
        """For `StageSpec.answers`."""
        return None if self.identity is None else answers_folder(self._stage, self.identity)

    @property
    def config(self) -> dict[str, Any]:
        """What changes the instructions, for `StageSpec.config`."""
        if self.identity is None:
            return {}
        return {"prompts": self._pack.shas, "image_tokens": self._settings.image_tokens}

    def setup(self) -> None:
        if self.identity is None:
            return
        from zcurate.captioner.captioning import Captioner, CaptionOptions

        self._chat = open_chat(self._settings, self._ctx, self._stage, self.identity)
        options = CaptionOptions(prompts_directory=self._settings.prompts)
        self._caption = captions_by(Captioner(self._chat.chat, self._settings.family, options))

    def describe(
        self, rows: Sequence[Mapping[str, Any]], picture_of: Callable[[str], bytes]
    ) -> list[Mapping[str, Any]]:
        """Rows of `tables.PAIRS`, those that lack only an instruction with theirs.

        Args:
            rows: every pair followed by its way back (`choosing.pair_rows`).
            picture_of: key of a picture -> its bytes.

        A pair the model finds no difference in becomes `no_difference`; one it could not describe keeps
        `no_instruction`, and its error is among its reasons.

        Raises:
            StageStopError: the model answers nobody, or the cap is reached.
        """
        if self._chat is None:
            return list(rows)
        open_ = [i for i in range(0, len(rows), 2) if rows[i]["reasons"] == [NO_INSTRUCTION]]
        if not open_:
            return list(rows)
        table = pa.table(
            {
                "sample_id": pa.array([bytes.fromhex(rows[i]["pair_id"]) for i in open_], pa.binary(16)),
                "source": [rows[i]["source_keys"][0] for i in open_],
                "target": [rows[i]["target_key"] for i in open_],
            }
        )

        async def ask(row: Mapping[str, Any]) -> dict[str, Any]:
            from zcurate.captioner.difference import Side

            sides = [Side(picture(picture_of(row[end]))) for end in ("source", "target")]
            try:
                found = await describe_pair(self._chat.chat, self._pack, *sides, caption=self._caption)
            except (AnswerError, CaptionError) as e:
                raise SampleError(str(e)) from e
            values = {}
            for name, said in (("forward", found.forward), ("backward", found.backward)):
                values |= {f"{name}_en": said.en if said else None, f"{name}_zh": said.zh if said else None}
            return values

        answers = self._chat.map_rows(table, ask, _SCHEMA, NullMonitor()).to_pylist()
        done = list(rows)
        for i, answer in zip(open_, answers, strict=True):
            for at, way in ((i, "forward"), (i + 1, "backward")):
                done[at] = self._told(rows[at], answer, way)
        return done

    def _told(self, row: Mapping[str, Any], answer: Mapping[str, Any], way: str) -> dict[str, Any]:
        if answer["_status"] != OK:
            return {**row, "verdict": REJECT, "reasons": [NO_INSTRUCTION, answer["_error_class"]]}
        en, zh = answer[f"{way}_en"], answer[f"{way}_zh"]
        if not (en or zh):
            return {**row, "verdict": REJECT, "reasons": ["no_difference"]}
        return instructed(row, en or "", zh or "", self.identity or "")

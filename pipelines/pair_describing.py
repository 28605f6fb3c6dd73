"""Instructions for pairs of real pictures, from a vision-language model that looks at both. Never from anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import Field

from zcurate.captioner.answers import AnswerError
from zcurate.captioner.difference import ARROW_TYPE, Side
from zcurate.captioner.difference_asking import captions_by, describe_pair, load_pack
from zcurate.captioner.packs import PackError
from zcurate.captioner.schema import CaptionError
from zcurate.curation.edits.checks import REJECT
from zcurate.curation.edits.video.choosing import NO_INSTRUCTION, instructed
from zcurate.curation.errors import ConfigError, SampleError
from zcurate.curation.stage import OK, NullMonitor, field_of
from zcurate.curation.store.answers import answers_folder

from .chat_settings import ChatSettings, model_identity, open_chat, prices_of
from .originals import picture

if TYPE_CHECKING:
    from .context import StageContext

_SCHEMA = pa.schema([("told", ARROW_TYPE)])
#: All three steps for a pair, kept in a table beside the pairs: what the instructions were made from.
DESCRIPTIONS = pa.schema(
    [
        field_of("pair_id", pa.string(), "pair from source to target, in the table of pairs"),
        field_of("back_id", pa.string(), "pair that leads back"),
        *ARROW_TYPE,
    ]
)
#: What a side that was captioned before is told by.
_STORED = ("captions.en_long", "captions.zh_long", "captions.ocr", "captions.placeholder")


@dataclass(frozen=True)
class Described:
    """Attributes:
    pairs: rows of `tables.PAIRS`.
    descriptions: rows of `DESCRIPTIONS`, of the pairs that a model looked at with success.
    """

    pairs: list[Mapping[str, Any]]
    descriptions: list[Mapping[str, Any]]


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
        #: Columns of the parents that say what their captions are, where a stage before this one wrote them.
        self.reads: tuple[str, ...] = ()
        if settings.engine is None:
            return
        self.reads = _STORED if ctx.has("captions") else ()
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
        self,
        rows: Sequence[Mapping[str, Any]],
        picture_of: Callable[[str], bytes],
        parent_of: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Described:
        """Instructions for the pairs that lack only one.

        Args:
            rows: of `tables.PAIRS`, every pair followed by its way back (`choosing.pair_rows`).
            picture_of: key of a picture -> its bytes.
            parent_of: key -> the row it was made from, with the columns `reads`: captions in it are not written again.

        A pair the model finds no difference in becomes `no_difference`; one it could not describe keeps
        `no_instruction`, and its error is among its reasons.

        Raises:
            StageStopError: the model answers nobody, or the cap is reached.
        """
        open_ = [i for i in range(0, len(rows), 2) if rows[i]["reasons"] == [NO_INSTRUCTION]]
        if self._chat is None or not open_:
            return Described(list(rows), [])
        table = pa.table(
            {
                "sample_id": pa.array([bytes.fromhex(rows[i]["pair_id"]) for i in open_], pa.binary(16)),
                "source": [rows[i]["source_keys"][0] for i in open_],
                "target": [rows[i]["target_key"] for i in open_],
            }
        )

        async def ask(row: Mapping[str, Any]) -> dict[str, Any]:
            sides = [
                side_of(picture(picture_of(row[end])), (parent_of or {}).get(row[end]))
                for end in ("source", "target")
            ]
            try:
                found = await describe_pair(self._chat.chat, self._pack, *sides, caption=self._caption)
            except (AnswerError, CaptionError) as e:
                raise SampleError(str(e)) from e
            return {"told": found.row()}

        answers = self._chat.map_rows(table, ask, _SCHEMA, NullMonitor()).to_pylist()
        done, descriptions = list(rows), []
        for i, answer in zip(open_, answers, strict=True):
            for at, way in ((i, "forward"), (i + 1, "backward")):
                done[at] = self._told(rows[at], answer, way)
            if answer["_status"] == OK:
                ids = {"pair_id": rows[i]["pair_id"], "back_id": rows[i + 1]["pair_id"]}
                descriptions.append(ids | answer["told"] | {"model": self.identity})
        return Described(done, descriptions)

    def _told(self, row: Mapping[str, Any], answer: Mapping[str, Any], way: str) -> dict[str, Any]:
        if answer["_status"] != OK:
            return {**row, "verdict": REJECT, "reasons": [NO_INSTRUCTION, answer["_error_class"]]}
        said = answer["told"][way] or {}
        if not (said.get("en") or said.get("zh")):
            return {**row, "verdict": REJECT, "reasons": ["no_difference"]}
        return instructed(row, said.get("en") or "", said.get("zh") or "", self.identity or "")


def side_of(image: bytes, parent: Mapping[str, Any] | None) -> Side:
    """A picture with the captions its parent has; without them where nobody or no model wrote any."""
    stored = {} if parent is None or parent.get("captions.placeholder") else parent
    en, zh = (stored.get(f"captions.{code}_long") or "" for code in ("en", "zh"))
    if not (en or zh):
        return Side(image)
    read = [s["text"] for s in stored.get("captions.ocr") or () if s["legible"]]
    return Side(image, en, zh, tuple(read), reused=True)

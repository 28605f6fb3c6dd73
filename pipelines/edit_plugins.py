"""What the recipe plugs into the maker of edits: lettering, and experts that make pictures elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zcurate.curation.edits.foreign import (
    DiffusersExpert,
    FolderExpert,
    Foreign,
    ForeignError,
    HttpExpert,
    Order,
)
from zcurate.curation.errors import ConfigError

if TYPE_CHECKING:
    from zcurate.curation.edits.text.lettering import Lettering

    from .context import StageContext


class TextSettings(BaseModel):
    """Rendered text: which fonts and words, and who reads it back."""

    model_config = ConfigDict(extra="forbid")

    fonts: list[str] = Field([], description="folders of fonts; default: those of installed packages")
    system_fonts: bool = Field(False, description="the fonts that fontconfig lists, too")
    phrases: str | None = Field(None, description="file of phrases of your own; default: bundled ones")
    weight: float = Field(
        0.4, ge=0, description="how often each text expert is tried, where the stage's weights do not name it"
    )
    box_share: float = Field(0.3, ge=0, le=1, description="share of text changes shown by colored boxes")
    ocr: str | None = Field("rapidocr", description="reads new texts back; null: they are not read")
    degraded_share: float = Field(
        0.1, ge=0, le=1, description="share of text pairs with a twin that has the same fault on both sides"
    )
    least_read: float = Field(
        0.8, ge=0, le=1, description="share of a new text's characters that must be read"
    )

    def written(self, ctx: StageContext) -> tuple[dict[str, Any], dict[str, str]]:
        """(settings that change the output, models), for a stage's fingerprint."""
        lettering = self.lettering(ctx, read=False)
        models = {"fonts": f"fonts:sha256:{lettering.kit.book.digest}"}
        if self.phrases is not None:
            models["phrases"] = ctx.identity(f"phrases:{self.phrases}")
        if self.ocr is not None:
            models["ocr"] = ctx.identity(self.ocr)
        return self.model_dump(include={"weight", "box_share", "degraded_share", "least_read"}), models

    def lettering(self, ctx: StageContext, read: bool = True) -> Lettering:
        """Raises ConfigError: a folder or file that is not there, or no usable font."""
        from zcurate.curation.edits.text.faults import TextError
        from zcurate.curation.edits.text.fonts import find_fonts
        from zcurate.curation.edits.text.kit import Kit
        from zcurate.curation.edits.text.lettering import Lettering
        from zcurate.curation.edits.text.phrase_lists import bundled, read_phrases

        try:
            book = find_fonts(self.fonts, self.system_fonts)
            phrases = bundled() if self.phrases is None else read_phrases(self.phrases)
        except (TextError, OSError) as e:
            raise ConfigError(f"stages.edits.texts: {e}") from e
        reader = ctx.ocr(self.ocr) if read and self.ocr is not None else None
        return Lettering(
            Kit(book, phrases),
            box_share=self.box_share,
            reader=reader,
            least_read=self.least_read,
            degraded_share=self.degraded_share,
        )


class Asked(BaseModel):
    """What a model is asked for, the same for every picture."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="task of the taxonomy, e.g. style.art")
    en: str = Field(description="instruction of the pair")
    zh: str = Field(description="instruction of the pair in Chinese")
    prompt: str = Field("", description="what the model is told; default: `en`")

    def order(self) -> Order:
        return Order(self.type, {"en": self.en, "zh": self.zh}, self.prompt)


class ForeignSettings(BaseModel):
    """One expert that makes pictures elsewhere: `folder`, `http` or `diffusers`."""

    model_config = ConfigDict(extra="forbid")

    folder: str | None = Field(None, description="folder of finished edits with an edits.jsonl")
    http: str | None = Field(None, description="endpoint that edits")
    diffusers: str | None = Field(None, description="folder or hub id of a diffusers pipeline")
    revision: str = Field("unstated", description="what the server or hub id has, in your own words")
    asks: list[Asked] = Field([], description="what http and diffusers are asked for")
    name: str | None = Field(None, description="its name among the weights; default: its kind")
    steps: int = Field(20, ge=1, description="diffusers: denoising steps")
    guidance: float = Field(4.0, ge=0, description="diffusers: guidance scale")
    device: str = Field("cpu", description="diffusers: device")
    timeout_s: float = Field(120.0, gt=0, description="http: of one edit")

    @model_validator(mode="after")
    def _one_kind(self) -> ForeignSettings:
        if sum(v is not None for v in (self.folder, self.http, self.diffusers)) != 1:
            raise ValueError("name one of folder, http and diffusers")
        if self.folder is None and not self.asks:
            raise ValueError("asks: say what it is asked for, e.g. {type: style.art, en: ..., zh: ...}")
        return self

    @property
    def kind(self) -> Literal["folder", "http", "diffusers"]:
        return "folder" if self.folder is not None else "http" if self.http is not None else "diffusers"

    def expert(self, ctx: StageContext) -> Foreign:
        """Raises ForeignError."""
        name, asks = self.name or self.kind, tuple(a.order() for a in self.asks)
        if self.folder is not None:
            return Foreign(FolderExpert.open(self.folder, name))
        if self.http is not None:
            return Foreign(HttpExpert(self.http, asks, self.revision, self.timeout_s, name))
        identity = ctx.identity(f"diffusers:{self.diffusers}") + f"@{self.revision}"
        settings = (self.steps, self.guidance, self.device, name)
        return Foreign(DiffusersExpert(str(self.diffusers), asks, identity, *settings))


def foreign_experts(settings: Sequence[ForeignSettings], ctx: StageContext) -> list[Foreign]:
    """Raises ConfigError: a folder, task or instruction that cannot be used, or two experts of one name."""
    try:
        made = [s.expert(ctx) for s in settings]
    except ForeignError as e:
        raise ConfigError(f"stages.edits.experts: {e}") from e
    names = [e.name for e in made]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"stages.edits.experts: two are called {name!r}; give each a `name`")
    return made

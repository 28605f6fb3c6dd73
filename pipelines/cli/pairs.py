"""The command `describe-pair`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from zcurate.curation.errors import ConfigError, SampleError

from .options import AsJson


def register(app: typer.Typer) -> None:
    app.command(name="describe-pair", rich_help_panel="Look")(describe_pair)


def describe_pair(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Picture as it is; a dataset with --pair.")
    ],
    target: Annotated[Path | None, typer.Argument(metavar="TARGET", help="Picture as it is wanted.")] = None,
    vlm: Annotated[
        str,
        typer.Option(help="`openai:URL#MODEL`, `transformers:DIRECTORY_OR_ID`, or `template` with --edits."),
    ] = "template",
    edits: Annotated[
        Path | None,
        typer.Option(help="JSON list of what was done, for `template`: kind, what, before, after."),
    ] = None,
    pair: Annotated[
        str | None,
        typer.Option(
            help="Id of a pair in a dataset: told exactly by its specification, or as a model described it."
        ),
    ] = None,
    source_caption: Annotated[str, typer.Option(help="Caption of the source, if there is one.")] = "",
    target_caption: Annotated[str, typer.Option(help="Caption of the target, if there is one.")] = "",
    seed: Annotated[int, typer.Option(help="Another seed draws another answer.")] = 0,
    as_json: AsJson = False,
) -> None:
    """What differs between two pictures, and instructions that lead from one to the other and back.

    Example: `zcurate describe-pair before.jpg after.jpg --vlm openai:http://localhost:8000/v1#Qwen/Qwen3-VL-8B-Instruct`
    """
    from zcurate.captioner.difference import DifferenceError, Side

    if (pair is None) == (target is None):
        raise ConfigError("give two pictures, or a dataset and --pair ID")
    if pair is not None:
        from ..pair_captions import find_description

        _show(find_description(str(source), pair), as_json)
        return
    if vlm != "template" and edits is not None:
        raise ConfigError("--edits is for the template engine; a model looks at the pictures")
    sides = [
        Side(_picture(path), en=text, reused=bool(text))
        for path, text in ((source, source_caption), (target, target_caption))
    ]
    if vlm == "template":
        from zcurate.captioner.difference_template import describe_edits

        try:
            found = describe_edits(*sides, _edits(edits))
        except DifferenceError as e:
            raise ConfigError(f"--edits: {e}" if edits else f"--vlm template: {e}") from e
    else:
        found = asyncio.run(_ask(vlm, sides, seed))
    _show(found.row(), as_json)


def _show(row: dict[str, Any], as_json: bool) -> None:
    print(json.dumps(row, ensure_ascii=False) if as_json else _told(row))


async def _ask(vlm: str, sides: list[Any], seed: int) -> Any:
    from zcurate.captioner.answers import AnswerError
    from zcurate.captioner.captioning import Captioner
    from zcurate.captioner.chat import ChatError
    from zcurate.captioner.difference_asking import captions_by, describe_pair, load_pack
    from zcurate.captioner.schema import CaptionError

    from ..registry import resolve

    chat = resolve("vlm", vlm)
    try:
        chat.load()
        return await describe_pair(
            chat, load_pack(chat.model), *sides, caption=captions_by(Captioner(chat)), seed=seed
        )
    except (AnswerError, CaptionError) as e:
        raise SampleError(f"the pair could not be described: {e}") from e
    except ChatError as e:
        raise SampleError(f"{vlm}: {e}") from e
    finally:
        await chat.close()


def _picture(path: Path) -> bytes:
    """The picture upright, as JPEG or PNG."""
    from ..originals import picture

    return picture(path.expanduser().read_bytes())


def _edits(path: Path | None) -> list[Any] | None:
    if path is None:
        return None
    try:
        value = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except ValueError as e:
        raise ConfigError(f"--edits {path}: no JSON ({e})") from e
    if not isinstance(value, list):
        raise ConfigError(f"--edits {path}: must hold a list of edits")
    return value


def _told(row: dict[str, Any]) -> str:
    if row["no_op"]:
        return "no difference"
    lines = []
    for d in row["differences"]:
        arrow = " -> ".join(repr(d[name]) for name in ("before", "after") if d[name])
        lines.append(f"{d['kind']:10} {d['what']}: {arrow}")
    for name in ("forward", "backward"):
        if row[name]:
            lines += [f"{name} {code}: {row[name][code]}" for code in ("en", "zh")]
    return "\n".join([*lines, *(f"warning: {w}" for w in row["warnings"])])

"""Commands that draw: generate, generate-chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson

_Prompt = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="What to draw; for --reference, the edit.")
]
_Out = Annotated[Path, typer.Option(help="Folder for pictures and their records.")]
_Size = Annotated[
    str | None, typer.Option(help="`WIDTH*HEIGHT` in px. Default: `1024*1024`; pixel models: `32*32`.")
]
_Device = Annotated[str, typer.Option(help="`auto`, `cpu`, `cuda`, `cuda:1`.")]
_Dtype = Annotated[str, typer.Option(help="`auto`, `bfloat16`, `float32`, `float16`.")]
_Quantize = Annotated[str | None, typer.Option(help="Weights in `int8` or `int4`.")]
_Offload = Annotated[
    str | None, typer.Option(help="`model`: parts wait on the CPU; `sequential`: layers do, slowest.")
]
_Tile = Annotated[int | None, typer.Option("--vae-tile", help="Decode in tiles of this side, px, e.g. 512.")]
_Presets = Annotated[
    Path | None, typer.Option("--presets", help="YAML file with your styles, presets and seeds.")
]
_Batch = Annotated[int, typer.Option(min=1, help="Pictures drawn at once.")]


def register(app: typer.Typer) -> None:
    app.command(name="generate", rich_help_panel="Model")(generate)
    app.command(name="generate-chain", rich_help_panel="Model")(generate_chain)


def generate(
    prompt: _Prompt = None,
    model: Annotated[
        str, typer.Option(help="`s3dit:DIR`; `s3dit:tiny`: untrained, draws noise.")
    ] = "s3dit:tiny",
    out: _Out = Path("generated"),
    negative: Annotated[str, typer.Option(help="What to avoid; has an effect only with guidance.")] = "",
    size: _Size = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps, one model run each.")] = None,
    guidance: Annotated[
        float | None, typer.Option(min=0, help="Zero-normalized scale s (the textbook's w = 1 + s); 0: off.")
    ] = None,
    cfg_normalization: Annotated[
        float | None, typer.Option(min=0, help="Bound of the guided norm, in units of the unguided; 0: off.")
    ] = None,
    cfg_truncation: Annotated[
        float | None, typer.Option(min=0, max=1, help="No guidance at times above it (0 noise, 1 picture).")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="`euler`; `heun`: two model runs a step; `sde`: with noise.")
    ] = None,
    shift: Annotated[
        str | None, typer.Option(help="More steps near noise: a number, or `dynamic`. Default: the model's.")
    ] = None,
    seed: Annotated[str | None, typer.Option(help="Number, or name from --presets. Default: random.")] = None,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Pictures, at seeds running up.")] = 1,
    batch: _Batch = 1,
    reference: Annotated[
        list[Path] | None, typer.Option("--reference", help="Picture to edit or combine, 1-4. Repeatable.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Picture to begin from; --size crops it.")] = None,
    strength: Annotated[
        float | None, typer.Option(help="How much of --image is drawn anew. Default: 0.6; with --mask: 1.")
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="White where --image is drawn anew.")] = None,
    outpaint: Annotated[
        str | None, typer.Option(help="Pixels to add to --image: LEFT,TOP,RIGHT,BOTTOM.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="`turbo`, `base`, `edit`, or yours. Default: the model's.")
    ] = None,
    presets_file: _Presets = None,
    style: Annotated[str | None, typer.Option(help="Style from --presets.")] = None,
    save_preset: Annotated[
        str | None, typer.Option(help="Keep these options under a name in --presets.")
    ] = None,
    enhance: Annotated[bool, typer.Option("--enhance", help="Let --vlm write the prompt out first.")] = False,
    vlm: Annotated[str | None, typer.Option(help="`openai:URL#MODEL` for --enhance.")] = None,
    device: _Device = "auto",
    dtype: _Dtype = "auto",
    quantize: _Quantize = None,
    offload: _Offload = None,
    vae_tile: _Tile = None,
    file_format: Annotated[str, typer.Option("--format", help="`png`, `jpg`, `webp`.")] = "png",
    plan: Annotated[bool, typer.Option("--plan", help="Only say what memory each mode needs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw pictures from a prompt, with prompt, seed and model recorded in and beside each.

    Examples: `zcurate generate "a red kite over the sea" --model s3dit:Z-Image-Turbo --n 4 --seed 7`,
    `zcurate generate "make it night" --model s3dit:Z-Image-Edit --reference day.png`, `zcurate generate --plan`
    """
    from zcurate.curation.errors import ConfigError

    from ..generating import (
        Asked,
        enhanced,
        load_generator,
        memory_rows,
        model_errors,
        requests_of,
        save_all,
        shift_of,
    )

    with model_errors():
        if plan:
            samples = batch * (2 if guidance else 1)
            planned, rows = memory_rows(model, size, samples)
            _print_plan(rows, model, planned, samples, as_json)
            return
        from zcurate.model.generate import Runtime
        from zcurate.model.image_files import check_suffix
        from zcurate.model.styles import NamedPreset
        from zcurate.model.styles import save_preset as keep_preset

        if save_preset is not None:
            if presets_file is None:
                raise ConfigError("--save-preset needs --presets FILE to write to")
            given = NamedPreset(
                preset=preset,
                size=size,
                steps=steps,
                guidance=guidance,
                cfg_normalization=cfg_normalization,
                cfg_truncation=cfg_truncation,
                sampler=sampler,
                shift=None if shift is None else shift_of(shift),
                style=style,
                seed=int(seed) if seed is not None and seed.isdecimal() else seed,
            )
            keep_preset(presets_file, save_preset, given)
            if not prompt:
                return
        if not prompt:
            raise ConfigError('no prompt: write what to draw, e.g. zcurate generate "a red kite"')
        if enhance and vlm is None:
            raise ConfigError("--enhance needs --vlm openai:URL#MODEL")
        suffix = f".{file_format.lower()}"
        check_suffix(suffix)
        references = tuple(reference or ())
        written = enhanced(prompt, vlm or "", references) if enhance else prompt
        generator = load_generator(model, Runtime(device, dtype, quantize, offload, vae_tile))
        if not generator.pipeline.trained:
            typer.echo("this model is untrained: it draws noise", err=True)
        asked = Asked(
            prompt=written,
            negative=negative,
            size=size,
            steps=steps,
            guidance=guidance,
            cfg_normalization=cfg_normalization,
            cfg_truncation=cfg_truncation,
            sampler=sampler,
            shift=shift,
            seed=seed,
            n=n,
            references=references,
            preset=preset,
            presets_file=presets_file,
            style=style,
            image=image,
            strength=strength,
            mask=mask,
            outpaint=outpaint,
        )
        requests = requests_of(asked, generator)
        if written != prompt:
            for request in requests:
                request.tags["prompt_given"] = prompt
        for path, record in save_all(generator.generate(requests, batch), out, suffix):
            print(json.dumps(record | {"file": str(path)}, ensure_ascii=False) if as_json else path)


def generate_chain(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to draw.")],
    turbo: Annotated[str, typer.Option(help="`s3dit:DIR` that drafts.")] = "s3dit:tiny",
    base: Annotated[str | None, typer.Option(help="`s3dit:DIR` that refines; default: no refining.")] = None,
    edit: Annotated[str | None, typer.Option(help="`s3dit:DIR` that edits.")] = None,
    instruction: Annotated[str, typer.Option(help="What --edit is to change.")] = "",
    negative: Annotated[str, typer.Option(help="What to avoid; for --base, which is guided.")] = "",
    style: Annotated[str | None, typer.Option(help="Style from --presets.")] = None,
    out: _Out = Path("generated"),
    drafts: Annotated[int, typer.Option(min=1, help="Drafts, at seeds running up.")] = 4,
    pick: Annotated[
        str, typer.Option(help="`sharpness`, or an encoder with text, `openclip:ARCH/TAG`: agreement.")
    ] = "sharpness",
    strength: Annotated[float, typer.Option(help="How much of the draft is drawn anew, up to 1.")] = 0.6,
    refine_steps: Annotated[int | None, typer.Option(min=1, help="Steps of refining and editing.")] = None,
    size: _Size = None,
    seed: Annotated[str | None, typer.Option(help="Of the first draft. Default: random.")] = None,
    batch: _Batch = 1,
    presets_file: _Presets = None,
    device: _Device = "auto",
    dtype: _Dtype = "auto",
    quantize: _Quantize = None,
    offload: _Offload = None,
    vae_tile: _Tile = None,
    as_json: AsJson = False,
) -> None:
    """Draft with Turbo, pick the best, refine it with Base at the same seed, edit it.

    Example: `zcurate generate-chain "a tea house" --turbo s3dit:Turbo --base s3dit:Base --pick
    openclip:ViT-B-32/laion2b_s34b_b79k`
    """
    from ..generating import Asked, LastLoaded, model_errors, requests_of, score_of

    with model_errors():
        from dataclasses import replace
        from functools import partial

        from zcurate.model.chain import Plan, run_chain
        from zcurate.model.generate import Runtime
        from zcurate.model.request import PRESETS

        held = LastLoaded(Runtime(device, dtype, quantize, offload, vae_tile))
        asked = Asked(prompt, negative, size=size, seed=seed, style=style, presets_file=presets_file)
        request = requests_of(asked, held(turbo))[0]
        if not held(turbo).pipeline.trained:
            typer.echo("this model is untrained: it draws noise", err=True)
        changes = {} if refine_steps is None else {"steps": refine_steps}
        plan = Plan(
            drafts=drafts,
            batch=batch,
            refine=replace(PRESETS["base"], **changes),
            strength=strength,
            instruction=instruction,
            edit=replace(PRESETS["edit"], **changes),
        )
        loads = [name and partial(held, name) for name in (turbo, base, edit)]
        for link in run_chain(request, *loads, score_of(pick), plan):
            path = link.picture.save(out / link.stage)
            facts = {"stage": link.stage, "file": str(path), "score": link.score, "picked": link.picked}
            if as_json:
                print(json.dumps(facts | {"seed": link.picture.request.seed}))
            else:
                score = "" if link.score is None else f"  {link.score:.4g}{'  picked' if link.picked else ''}"
                print(f"{link.stage:<7} {path}{score}")


def _print_plan(rows: list[dict], model: str, size: str, samples: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"model": model, "size": size, "samples": samples, "modes": rows}))
        return
    what = "the released 6.15B model" if model == "s3dit:tiny" else model
    print(f"Peak memory on the device in GB (10^9 bytes), {what}, {size} px, {samples} at once")
    print(f"{'encode':>8}{'draw':>8}{'decode':>8}{'peak':>8}  fits  options")
    for row in rows:
        cards = [c for c in (8, 12, 16, 24, 32, 48, 80) if row["peak_gb"] + 0.5 < c]
        fits = f"{cards[0]} GB" if cards else "> 80"
        print(
            f"{row['encode_gb']:>8.2f}{row['draw_gb']:>8.2f}{row['decode_gb']:>8.2f}{row['peak_gb']:>8.2f}"
            f"  {fits:<5} {row['options']}"
        )
    print(
        "Computed from the model's own code run on shapes alone, plus 20% of activations; not measured on a GPU. "
        '"fits" sets 0.5 GB aside for the CUDA context.'
    )

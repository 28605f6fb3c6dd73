"""Commands on prompts: enhance, elements, prompt-lint."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson

_Prompt = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="The prompt; `-` reads standard input.")
]
_File = Annotated[
    Path | None, typer.Option("--file", help="Read the prompt from a file; `-`: standard input.")
]
_Lines = Annotated[bool, typer.Option("--lines", help="Every line of the input is a prompt of its own.")]


def register(app: typer.Typer) -> None:
    app.command(name="enhance", rich_help_panel="Prompts")(enhance)
    app.command(name="elements", rich_help_panel="Prompts")(elements)
    app.command(name="prompt-lint", rich_help_panel="Prompts")(prompt_lint)


def enhance(
    prompt: _Prompt = None,
    vlm: Annotated[str, typer.Option(help="`openai:URL#MODEL` or `transformers:DIRECTORY_OR_ID`.")] = ...,  # type: ignore[assignment]
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", help="Picture to be edited: writes an instruction. Repeatable."),
    ] = None,
    reasoning: Annotated[bool, typer.Option(help="Think first; the thought is kept apart.")] = True,
    photo: Annotated[
        bool,
        typer.Option(
            "--photo", help="Photographic structure: intent, subject, setting, camera, lighting, mood."
        ),
    ] = False,
    lock: Annotated[
        list[str] | None,
        typer.Option("--lock", help="String that the enhanced prompt must hold. Repeatable."),
    ] = None,
    tries: Annotated[int, typer.Option(min=1, max=10, help="Answers drawn at most.")] = 3,
    deadline: Annotated[float, typer.Option(min=0.1, help="Seconds until the original is kept.")] = 120.0,
    file: _File = None,
    as_json: AsJson = False,
) -> None:
    """Turn a short request into a prompt that says all there is to draw; with pictures, into an edit instruction.

    Quoted text, numbers and colors stay; what fails the checks leaves the prompt as it was, with the reason and exit
    code 1.

    Example: `zcurate enhance "茶馆海报，标题“松鼠鳜鱼”" --vlm openai:http://localhost:8000/v1#Qwen/Qwen3-VL-8B-Instruct`
    """
    from ..prompting import enhance_prompt, read_prompts

    text = read_prompts(prompt, file, False)[0]
    done = enhance_prompt(text, vlm, image or [], reasoning, photo, tries, deadline, lock or [])
    if as_json:
        print(json.dumps(done.facts(), ensure_ascii=False))
    else:
        for step, thought in done.reasoning.items():
            shown = "; ".join(thought) if isinstance(thought, list) else thought
            print(f"{step.replace('_', ' '):<16} {shown}", file=sys.stderr)
        if done.message:
            print(f"kept as it was ({done.pe_status}): {done.message}", file=sys.stderr)
        print(done.prompt)
        if done.negative:
            print(f"negative prompt (does nothing for Turbo): {', '.join(done.negative)}", file=sys.stderr)
    if done.pe_status != "enhanced":
        raise typer.Exit(1)


def elements(
    prompt: _Prompt = None,
    vlm: Annotated[
        str | None, typer.Option(help="Ask a model, `openai:URL#MODEL`; default: rules, no model.")
    ] = None,
    file: _File = None,
    lines: _Lines = False,
    as_json: AsJson = False,
) -> None:
    """Take a prompt apart into claims a picture can be checked for: subjects, attributes, actions, places, style.

    --json writes one annotation record per prompt: ids, parents, who can check what, complexity.

    Example: `zcurate elements "a red car left of two dogs, a sign that reads \\"STOP\\""`
    """
    from ..prompting import prompt_elements, read_prompts, tree_of

    for found in prompt_elements(read_prompts(prompt, file, lines), vlm):
        if as_json:
            print(found.to_json())
            continue
        c = found.complexity
        print(
            f"{found.prompt_id}  {found.lang}, {found.engine}: {c.elements} elements, {c.level} ({c.score:.1f})"
        )
        for depth, e in tree_of(found):
            others = [found[p].name for p in e.parents[1:]]
            related = f" -> {', '.join(others)}" if others else ""
            absent = "no " if e.negated else ""
            print(f"  {e.id}  {'  ' * depth}{e.kind}: {absent}{e.name}{related}  [{e.checker}]")


def prompt_lint(
    prompt: _Prompt = None,
    model: Annotated[str, typer.Option(help="`turbo` or `base`: the model the prompt is for.")] = "turbo",
    negative: Annotated[str, typer.Option(help="Negative prompt that goes with it.")] = "",
    file: _File = None,
    lines: _Lines = False,
    fail_on: Annotated[
        str, typer.Option(help="Exit with 1 at findings as grave as this: tip, warning, error or never.")
    ] = "warning",
    as_json: AsJson = False,
) -> None:
    """Say what a prompt lacks by the photographic structure, and which known mistakes it makes. No model is asked.

    Example: `zcurate prompt-lint "a woman in a park"`, `zcurate prompt-lint --file prompts.txt --lines --json`
    """
    from zcurate.captioner.prompt_lint import SEVERITIES
    from zcurate.curation.errors import ConfigError

    from ..prompting import lint_prompts, read_prompts

    if fail_on not in (*SEVERITIES, "never"):
        raise ConfigError(f"--fail-on {fail_on!r}: write {', '.join(SEVERITIES)} or never")
    reports = lint_prompts(read_prompts(prompt, file, lines), model, negative)
    for report in reports:
        if as_json:
            print(json.dumps(report.facts(), ensure_ascii=False))
            continue
        if len(reports) > 1:
            print(report.prompt if len(report.prompt) <= 100 else f"{report.prompt[:99]}…")
        if not report.findings:
            print("nothing is missing")
        for f in report.findings:
            about = f" ({f.found})" if f.found else ""
            print(f"{f.severity:<8} {f.rule:<18} {f.message}{about}: {f.fix}")
    grave = SEVERITIES[SEVERITIES.index(fail_on) :] if fail_on in SEVERITIES else ()
    if any(r.worst in grave for r in reports):
        raise typer.Exit(1)

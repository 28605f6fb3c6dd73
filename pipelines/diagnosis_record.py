"""What is kept of a diagnosis: diagnosis.json, the page, a line in `cycles.jsonl`; and the comparison with an earlier one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zcurate.curation.active.choosing import Concept
from zcurate.curation.active.comparing import Comparison, Rate, compared
from zcurate.curation.active.confidence import wilson
from zcurate.curation.active.testing import FAILS
from zcurate.curation.errors import ConfigError
from zcurate.curation.store.digest import json_digest

from .cycles import about as settings_of
from .cycles import findings, note, noted
from .probe_pictures import slug
from .written_prompts import read_prompts

if TYPE_CHECKING:
    from .diagnosing import Diagnosis, Options

#: Settings that must be the same for two pass rates to compare.
_SAME = ("required", "seed", "size", "prompts", "judge")


def about(o: Options) -> dict[str, Any]:
    """What was tested, and how; JSON-able."""
    asked, written = list(o.asked), read_prompts(o.out)
    return {
        "generator": o.generator, "dataset": o.dataset, "graph": o.graph, "required": o.plan.required,
        "seed": o.seed, "size": o.size, "prompts": json_digest([asked, written]) if asked or written else None,
        "judge": dict(o.judge),
    }  # fmt: skip


def earlier_concepts(folder: Path) -> list[Concept]:
    """The concepts that a diagnosis tested. Raises ConfigError."""
    try:
        return [
            Concept(**{**f["concept"], **{k: tuple(f["concept"][k]) for k in ("aliases", "parts")}})
            for f in findings(folder)
        ]
    except (KeyError, TypeError) as e:
        raise ConfigError(f"{folder / 'diagnosis.json'}: not a diagnosis ({e!r}); diagnose again") from e


def compared_with(folder: Path, diagnosis: Diagnosis) -> Comparison:
    """A diagnosis against an earlier one. Raises ConfigError."""
    before, asked = {}, {}
    try:
        for f in findings(folder):
            name, tally = f["concept"]["name"], f["tally"]
            rate = Rate(tally["passed"], tally["passed"] + tally["failed"], f["low"], f["high"], f["status"])
            before[name], asked[name] = rate, (f["cause"] or {}).get("action", "")
    except (KeyError, TypeError, AttributeError) as e:
        raise ConfigError(f"{folder / 'diagnosis.json'}: not a diagnosis ({e!r}); diagnose again") from e
    after = {f.concept.name: Rate.of(f) for f in diagnosis.findings}
    then = settings_of(folder)
    differ = [k for k in _SAME if k in then and then[k] != diagnosis.about[k]]
    return compared(before, after, asked, _done(folder, before), differ)


def _done(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Concept -> what was done about it because of a diagnosis, by its `cycles.jsonl`."""
    lists = {f"{slug(name)}.txt": name for name in names}
    found: dict[str, list[str]] = {}
    for line in noted(folder):
        if not in_words(line):
            continue
        concepts = [c for c in line.get("concepts") or () if isinstance(c, Mapping)]
        acted = [str(c.get("concept")) for c in concepts if c.get("accepted", 1)]
        for name in [*acted, *([lists[line["list"]]] if line.get("list") in lists else ())]:
            found.setdefault(name, []).append(str(line["action"]))
    return {name: ", ".join(dict.fromkeys(actions)) for name, actions in found.items()}


def write(diagnosis: Diagnosis, o: Options) -> Path:
    """diagnosis.json and diagnosis.html; returns the page's path."""
    from .report.diagnosis import render_diagnosis

    o.out.mkdir(parents=True, exist_ok=True)
    (o.out / "diagnosis.json").write_text(
        json.dumps(plain(diagnosis), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    prefix, _, argument = o.generator.partition(":")
    folder = Path(argument).expanduser() if prefix == "folder" else o.out / "pictures"
    page = o.out / "diagnosis.html"
    done = [in_words(line) for line in noted(o.against)] if o.against else []
    text = render_diagnosis(diagnosis, o.generator, folder, str(o.against or ""), [d for d in done if d])
    page.write_text(text, encoding="utf-8")
    return page


def plain(diagnosis: Diagnosis) -> dict[str, Any]:
    """JSON-able."""
    kinds = {
        kind: {"satisfied": yes, "scored": scored, "unscored": none, "interval": wilson(yes, scored)}
        for kind, (yes, scored, none) in diagnosis.kinds.items()
    }
    found = {
        "about": dict(diagnosis.about),
        "pictures": diagnosis.pictures,
        "unscored": diagnosis.unscored,
        "errors": diagnosis.errors,
        "tokens_in": diagnosis.tokens_in,
        "tokens_out": diagnosis.tokens_out,
        "kinds": kinds,
        "findings": [asdict(f) | {"rate": f.tally.rate} for f in diagnosis.findings],
    }
    if diagnosis.comparison is not None:
        found["comparison"] = plain_comparison(diagnosis.comparison)
    return found


def plain_comparison(comparison: Comparison) -> dict[str, Any]:
    """JSON-able, with the names of healthy concepts that were harmed."""
    return asdict(comparison) | {"harmed": [c.concept for c in comparison.harmed]}


def note_run(diagnosis: Diagnosis, o: Options, drawn: int, seconds: float, price: float | None) -> None:
    """A line in `cycles.jsonl`: what was found, what it took, and what was gained since an earlier diagnosis.

    Args:
        drawn: pictures drawn in this run. price: USD of one; None where they cost none.
    """
    failing = [f for f in diagnosis.findings if f.status == FAILS]
    line: dict[str, Any] = {
        "action": "diagnose", "generator": o.generator, "dataset": o.dataset,
        "found": dict(Counter(f.status for f in diagnosis.findings)),
        "failing": [{"concept": f.concept.name, "rate": f.tally.rate, "cause": f.cause.name if f.cause else None,
                     "action": f.cause.action if f.cause else None} for f in failing],
        "spent": {"pictures": diagnosis.pictures, "drawn": drawn, "seconds": round(seconds, 1), "usd": price and round(price * drawn, 4),
                  "tokens_in": diagnosis.tokens_in, "tokens_out": diagnosis.tokens_out},
    }  # fmt: skip
    if diagnosis.comparison is not None:
        c = diagnosis.comparison
        line |= {
            "against": str(o.against),
            "repaired_points": c.repaired_points,
            "healthy_points": c.healthy_points,
        }
        line |= {"points": {x.concept: round(x.points, 2) for x in c.changes}, "harmed": [x.concept for x in c.harmed]}  # fmt: skip
    note(o.out, line)


def in_words(line: Mapping[str, Any]) -> str:
    """What a line of `cycles.jsonl` did to data or graph; "" for one that only looked."""
    when, action = str(line.get("time", ""))[:16].replace("T", " "), line.get("action")
    concepts = [c for c in line.get("concepts") or () if isinstance(c, Mapping)]
    names = ", ".join(str(c.get("concept")) for c in concepts[:8])
    if action == "augment" and line.get("source"):
        return f"{when}: added {sum(int(c.get('accepted') or 0) for c in concepts)} samples of {names}, from {line.get('pool')}"
    if action == "reweight" and line.get("applied") and concepts:
        return f"{when}: weighed {', '.join(str(c.get('concept')) + ' by ' + format(float(c.get('factor') or 0), '.3g') for c in concepts[:8])}"
    if action == "prune":
        return f"{when}: pruned {line.get('samples')} samples of {line.get('dataset')}: {line.get('reason')}"
    return ""

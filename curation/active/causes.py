"""Why a concept fails, from what the dataset and the pictures say. Every cause has its evidence, and its repair.

The order of the rules is an order of trust: pictures that were checked and found wrong say more than counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .confidence import anytime, wilson

BAD_DATA = "bad_data"
CONFUSED = "compositional_confusion"
LACKS_DATA = "lacks_data"
UNDERWEIGHTED = "underweighted"
UNKNOWN = "unknown"

#: Cause -> what to do.
ACTIONS = {
    BAD_DATA: "prune",
    CONFUSED: "augment",
    LACKS_DATA: "augment",
    UNDERWEIGHTED: "reweight",
    UNKNOWN: "review",
}


@dataclass(frozen=True)
class Evidence:
    """What is known of a failing concept.

    Attributes:
        claimed: kept training samples whose text says that they show it.
        expected: samples it would have at its prior share, or that a concept the model draws well typically has.
        checked, wrong: claimed samples that were checked against their pictures, and those that do not show it.
        base_checked, base_wrong: the same for samples of concepts that the model draws well.
        low_quality, base_low_quality: share of its samples, and of all, that score low (blur, compression, ...); None
            without scores.
        drawn_share: its share of what training drew, over its share of the kept samples; None without weights.
        literal, failed: failing pictures that show a part of its name instead; all failing pictures so checked.
        parts_pass: every part of its name passes when asked for by itself; None without parts.
    """

    claimed: int
    expected: float
    checked: int = 0
    wrong: int = 0
    base_checked: int = 0
    base_wrong: int = 0
    low_quality: float | None = None
    base_low_quality: float | None = None
    drawn_share: float | None = None
    literal: int = 0
    failed: int = 0
    parts_pass: bool | None = None


@dataclass(frozen=True)
class Rules:
    """When a cause is named. Ours; the report gives no numbers.

    Attributes:
        wrong_margin: a region is poisoned when surely more than this share beyond the base is wrong.
        quality_margin: the same for low quality.
        few: data is lacking below this share of what is expected.
        starved: a concept is under-weighted when it was drawn less than this share of its part of the data.
        literal: a name is taken apart when surely more than this share of the failing pictures show a part of it. Above
            what chance shows of two things.
    """

    wrong_margin: float = 0.1
    quality_margin: float = 0.3
    few: float = 0.5
    starved: float = 0.5
    literal: float = 0.3


@dataclass(frozen=True)
class Cause:
    """One of BAD_DATA, CONFUSED, LACKS_DATA, UNDERWEIGHTED, UNKNOWN; the action, and the evidence in words."""

    name: str
    action: str
    because: tuple[str, ...]


def confusion_told(literal: Sequence[bool], rules: Rules | None = None) -> bool:
    """Whether enough failing pictures were looked at to say that the name is, or is not, taken apart."""
    low, high = anytime(sum(literal), len(literal))
    limit = (rules or Rules()).literal
    return low > limit or high < limit


def cause_of(e: Evidence, rules: Rules | None = None) -> Cause:
    """The first cause that holds, with all that spoke for it or another."""
    r = rules or Rules()
    said: list[str] = []
    found: list[str] = []

    if e.checked:
        low, _ = anytime(e.wrong, e.checked)
        base_high = wilson(e.base_wrong, e.base_checked)[1] if e.base_checked else 0.0
        said.append(f"{e.wrong} of {e.checked} checked samples do not show it")
        if low > base_high + r.wrong_margin:
            found.append(BAD_DATA)
    if e.low_quality is not None and e.base_low_quality is not None and e.claimed:
        excess = e.low_quality - e.base_low_quality
        if excess > r.quality_margin:
            said.append(
                f"{e.low_quality:.0%} of its samples are of low quality, {e.base_low_quality:.0%} of all"
            )
            found.append(BAD_DATA)
    if e.failed and e.parts_pass:
        low, _ = anytime(e.literal, e.failed)
        said.append(f"{e.literal} of {e.failed} failing pictures show a part of its name")
        if low > r.literal:
            found.append(CONFUSED)
    said.append(f"{e.claimed} samples, {e.expected:.0f} expected")
    if e.claimed < r.few * e.expected:
        found.append(LACKS_DATA)
    if e.drawn_share is not None:
        said.append(f"drawn {e.drawn_share:.2f} times its part of the data")
        if e.drawn_share < r.starved:
            found.append(UNDERWEIGHTED)
    order = (BAD_DATA, CONFUSED, LACKS_DATA, UNDERWEIGHTED)
    name = next((c for c in order if c in found), UNKNOWN)
    return Cause(name, ACTIONS[name], tuple(said))

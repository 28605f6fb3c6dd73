"""What a pair of pictures must show before it may teach an edit: the change is there, and nothing else is.

All measures need two pictures and a mask, no weights. They are stored with the pair; a verdict derives from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from .spec import EditSpec
from .taxonomy import PIXEL, TASKS

ACCEPT, REJECT, NEGATIVE = "accept", "reject", "negative"

#: A pixel is changed when a channel differs by more than this, levels of 0..255. Below it lies what rounding and
#: lossless color conversions leave.
CHANGED_LEVELS = 3
#: PSNR of identical pictures, dB: the value stored instead of infinity.
PSNR_CAP_DB = 99.0


@dataclass(frozen=True)
class Limits:
    """When a pair is refused.

    Attributes:
        psnr_db: least PSNR out of the mask, of pixel-aligned types.
        ssim: least mean SSIM out of the mask, likewise.
        shift_px: largest shift of the picture outside of the mask, likewise. Users trace drifting edits to pairs
            that are a fraction of a pixel apart.
        area_slack: how far the changed share may lie outside the declared range, as a factor.
        no_op_share: share of changed pixels below which nothing happened.
    """

    psnr_db: float = 45.0
    ssim: float = 0.98
    shift_px: float = 0.25
    area_slack: float = 1.0
    no_op_share: float = 0.0003


@dataclass(frozen=True)
class Measures:
    """Of one pair. None: it does not apply (nothing lies out of the mask; sizes differ).

    Attributes:
        changed_share: share of pixels that differ by more than `CHANGED_LEVELS`, 0..1.
        mean_change: mean absolute difference of changed pixels, levels.
        mask_share: share of pixels the edit may change.
        outside_psnr_db, outside_ssim: out of the mask.
        shift_px: length of the shift between both pictures, by phase correlation out of the mask.
    """

    changed_share: float
    mean_change: float
    mask_share: float
    outside_psnr_db: float | None
    outside_ssim: float | None
    shift_px: float | None


@dataclass(frozen=True)
class Verdict:
    """`accept`; `reject` with reasons; `negative`: an edit that visibly went wrong, of use as a bad example."""

    status: str
    reasons: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)


def changed(source: np.ndarray, target: np.ndarray, levels: int = CHANGED_LEVELS) -> np.ndarray:
    """(H, W) bool, where two (H, W, 3) uint8 pictures differ."""
    return strongest(source, target) > levels


def strongest(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(H, W) uint8, the largest difference of any channel; ten times as fast as a maximum over the last axis."""
    red, green, blue = cv2.split(cv2.absdiff(source, target))
    return cv2.max(cv2.max(red, green), blue)


def measure(source: np.ndarray, target: np.ndarray, mask: np.ndarray | None) -> Measures:
    """Measure a pair.

    Args:
        source, target: (H, W, 3) uint8. Of other sizes than each other (crop, rotation) only mean figures apply.
        mask: (H, W) bool, where the edit may change pixels; None: anywhere.
    """
    if source.shape != target.shape:
        return Measures(1.0, 255.0, 1.0, None, None, None)
    difference = strongest(source, target)
    differs = difference > CHANGED_LEVELS
    count = int(np.count_nonzero(differs))
    mean = float(difference[differs].mean()) if count else 0.0
    outside = None if mask is None else ~mask
    share = 1.0 if mask is None else float(np.count_nonzero(mask)) / mask.size
    # Fewer pixels than this say nothing about the rest of the picture.
    if outside is None or np.count_nonzero(outside) < 256:
        return Measures(count / differs.size, mean, share, None, None, None)
    exact = not cv2.countNonZero(cv2.bitwise_and(difference, difference, mask=outside.astype(np.uint8)))
    psnr = PSNR_CAP_DB if exact else psnr_db(source, target, outside)
    same = psnr == PSNR_CAP_DB
    return Measures(
        count / differs.size,
        mean,
        share,
        psnr,
        1.0 if same else ssim(source, target, outside),
        0.0 if same else shift_px(source, target, outside),
    )


def psnr_db(source: np.ndarray, target: np.ndarray, where: np.ndarray) -> float:
    """Peak signal-to-noise ratio of the pixels in a mask, over all channels, dB; at most `PSNR_CAP_DB`."""
    difference = cv2.absdiff(source, target)[where].astype(np.float32)
    error = float(np.mean(difference * difference))
    return PSNR_CAP_DB if error == 0 else min(PSNR_CAP_DB, 10 * float(np.log10(255.0**2 / error)))


def ssim(source: np.ndarray, target: np.ndarray, where: np.ndarray, window_px: int = 7) -> float:
    """Mean structural similarity of the luma in a mask (Wang et al. 2004; uniform window), -1..1.

    A window counts only where it lies wholly in the mask: otherwise the edit itself would be seen.
    """
    a = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY).astype(np.float32)
    b = cv2.cvtColor(target, cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = (window_px, window_px)
    mean_a, mean_b = cv2.blur(a, size), cv2.blur(b, size)
    var_a = cv2.blur(a * a, size) - mean_a * mean_a
    var_b = cv2.blur(b * b, size) - mean_b * mean_b
    both = cv2.blur(a * b, size) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = ((2 * mean_a * mean_b + c1) * (2 * both + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    )
    inner = cv2.erode(where.astype(np.uint8), np.ones(size, np.uint8), borderValue=0).astype(bool)
    return float(value[inner].mean()) if inner.any() else 1.0


def shift_px(source: np.ndarray, target: np.ndarray, where: np.ndarray) -> float:
    """Length of the translation between both pictures in a mask, px, to about a tenth of a pixel.

    Phase correlation finds the whole pixels; its own fraction is off by up to 0.3 px on photographs, so that the rest
    is solved for from gradients (Lucas and Kanade 1981, one displacement for the whole picture).
    """
    a = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY).astype(np.float32)
    b = cv2.cvtColor(target, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # The edited part is filled with the same mean on both sides, so that it cannot pull the peak.
    fill = float(a[where].mean())
    a, b = np.where(where, a, fill), np.where(where, b, fill)
    if a.std() < 1.0:
        return 0.0  # a flat picture has no place
    window = cv2.createHanningWindow((a.shape[1], a.shape[0]), cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(a, b, window)
    if response < 0.1:
        return 0.0
    shift = np.array([round(x), round(y)], np.float64)
    grad_x, grad_y = (cv2.Sobel(a, cv2.CV_32F, i, 1 - i, scale=1 / 8) for i in (1, 0))
    # 3 px for the gradient and the interpolation next to the edited part
    inner = cv2.erode(where.astype(np.uint8), np.ones((7, 7), np.uint8))
    weight = window * inner
    normal = np.array(
        [[np.sum(weight * g * h, dtype=np.float64) for h in (grad_x, grad_y)] for g in (grad_x, grad_y)]
    )
    if np.linalg.eigvalsh(normal)[0] <= 1e-6 * max(1.0, np.trace(normal)):
        return float(np.hypot(*shift))  # stripes: along them no shift can be seen
    for _ in range(4):
        back = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
        moved = cv2.warpAffine(
            b,
            back,
            b.shape[::-1],
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        rest = weight * (moved - a)
        shift -= np.linalg.solve(normal, [np.sum(g * rest, dtype=np.float64) for g in (grad_x, grad_y)])
    return float(np.hypot(*shift))


def judge(spec: EditSpec, types: Sequence[str], found: Measures, limits: Limits | None = None) -> Verdict:
    """The verdict of the measures.

    An edit that left no trace or that broke what it should have left alone is `negative`: it shows what an editor
    must not do. One out of its declared area is rejected.
    """
    limits = limits or Limits()
    if not spec.changes:
        return Verdict(REJECT, ("nothing_asked",))
    tasks = [TASKS[t] for t in types]
    if found.changed_share < limits.no_op_share:
        return Verdict(NEGATIVE, ("no_op",))
    bad: list[str] = []
    if all(task.alignment == PIXEL for task in tasks):
        if found.outside_psnr_db is not None and found.outside_psnr_db < limits.psnr_db:
            bad.append("outside_changed")
        if found.outside_ssim is not None and found.outside_ssim < limits.ssim:
            bad.append("outside_structure")
        if found.shift_px is not None and found.shift_px > limits.shift_px:
            bad.append("shifted")
        if bad:
            return Verdict(NEGATIVE, tuple(bad))
        low = min(task.area[0] for task in tasks) / limits.area_slack
        high = min(1.0, sum(task.area[1] for task in tasks)) * limits.area_slack
        if not low <= found.changed_share <= high:
            return Verdict(REJECT, ("area_too_small" if found.changed_share < low else "area_too_large",))
    return Verdict(ACCEPT)

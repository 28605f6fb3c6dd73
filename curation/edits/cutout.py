"""Things cut out of photographs that stand on a plain ground, without weights, and only where that is sure.

The ground is a smooth surface in Lab fitted to the picture's border; what departs from it is refined by GrabCut
(Rother et al. 2004). A cut-out is refused unless its outline is a visible edge nearly everywhere: a wrong outline would
teach a model to leave halos.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

#: Longest side of the picture in which the outline is looked for, px.
WORK_PX = 320
#: Lab distance below which a pixel counts as ground, and share of the border that must.
GROUND_LAB = 14.0
MIN_PLAIN_BORDER = 0.8
#: Share of the outline (away from the picture's edge) across which Lab must differ by at least EDGE_LAB.
MIN_SHARP_OUTLINE = 0.9
EDGE_LAB = 12.0
#: Area of a usable cut-out, and share of its outline that may lie on the picture's edge.
AREA = (0.02, 0.7)
MAX_ON_EDGE = 0.05
#: Scatter of a border, Lab, from which on its colors tell nothing about the subject.
BUSY_LAB = 40.0


class NoCutoutError(ValueError):
    """Nothing in the picture can be cut out cleanly; the message is a reason in few words."""


@dataclass(frozen=True)
class Cutout:
    """A thing and its ground.

    Attributes:
        alpha: (H, W) uint8, 255 inside, with an edge a pixel or two soft.
        box: (x0, y0, x1, y1) px around alpha > 0.
        ground: (H, W, 3) uint8, the picture as if the thing were not there.
        scatter: of the ground's texture, levels; a smooth wall has 1 to 4, a carpet 10.
        plain: share of the border that is ground, 0..1.
    """

    alpha: np.ndarray
    box: tuple[int, int, int, int]
    ground: np.ndarray
    scatter: float
    plain: float


def cut_out(rgb: np.ndarray) -> Cutout:
    """The one thing on the plain ground of a picture.

    Args:
        rgb: (H, W, 3) uint8.

    Raises:
        NoCutoutError: busy_border, no_thing, too_small, too_large, thin, on_edge, soft_outline.
    """
    alpha, plain = alpha_of(rgb)
    ys, xs = np.nonzero(alpha)
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    return Cutout(alpha, box, *_filled(rgb, alpha), plain)


def alpha_of(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """`alpha` and `plain` of `Cutout` alone: without the ground, in half the time. Raises like `cut_out`."""
    height, width = rgb.shape[:2]
    scale = min(1.0, WORK_PX / max(height, width))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    border = _border(lab.shape[:2])
    surface, noise = _ground(lab, border)
    distance = np.linalg.norm(lab - surface, axis=-1)
    plain = float((distance[border] < GROUND_LAB).mean())
    if plain < MIN_PLAIN_BORDER:
        raise NoCutoutError("busy_border")
    mask = _thing(small, distance, border, noise)
    _check(mask, lab)
    return _alpha(mask, (height, width)), plain


def subject_of(rgb: np.ndarray) -> np.ndarray:
    """(h, w) bool, about 128 px: what departs from the colors of the picture's border, so that nothing is set on it.

    No more than a guess, made for pictures of any kind: where the border has no one color, the middle is taken for the
    subject; all False where nearly everything departs.
    """
    scale = min(1.0, 128 / max(rgb.shape[:2]))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    try:
        surface, noise = _ground(lab, _border(lab.shape[:2]))
    except NoCutoutError:
        return np.zeros(lab.shape[:2], bool)
    if 2.5 * noise > BUSY_LAB:
        y, x = np.mgrid[-1 : 1 : lab.shape[0] * 1j, -1 : 1 : lab.shape[1] * 1j]
        return (x / 0.6) ** 2 + (y / 0.8) ** 2 < 1
    found = (np.linalg.norm(lab - surface, axis=-1) > max(12.0, 2.5 * noise)).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)).astype(bool)
    return found if found.mean() < 0.8 else np.zeros_like(found)


def own_colors(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colors of a cut-out thing out to its soft edge, each taken from the nearest pixel well inside.

    What is left of the old ground in the soft edge would be a halo on any other.
    """
    inside = (alpha == 255).astype(np.uint8)
    if not inside.any():
        return rgb
    _, labels = cv2.distanceTransformWithLabels(1 - inside, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    ys, xs = np.nonzero(inside)
    nearest = np.zeros((labels.max() + 1, 2), np.int32)
    nearest[labels[ys, xs]] = np.stack([ys, xs], axis=1)
    edge = (alpha > 0) & (alpha < 255)
    at = nearest[labels[edge]]
    out = rgb.copy()
    out[edge] = rgb[at[:, 0], at[:, 1]]
    return out


def _border(shape: tuple[int, int]) -> np.ndarray:
    depth = max(3, round(min(shape) * 0.04))
    border = np.ones(shape, bool)
    border[depth:-depth, depth:-depth] = False
    return border


def _ground(lab: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, float]:
    """A quadratic surface per channel fitted to pixels, outliers left out; and the scatter around it."""
    y, x = np.mgrid[-1 : 1 : lab.shape[0] * 1j, -1 : 1 : lab.shape[1] * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1)
    inliers, surface, noise = where, lab, 0.0
    for _ in range(4):
        if np.count_nonzero(inliers) < 60:
            raise NoCutoutError("busy_border")
        known, seen = terms[inliers].astype(np.float64), lab[inliers].astype(np.float64)
        # Normal equations: six terms within -1..1 are well conditioned, and a tenth of the time.
        weights = np.linalg.lstsq(known.T @ known, known.T @ seen, rcond=None)[0].astype(np.float32)
        surface = terms @ weights
        distance = np.linalg.norm(lab - surface, axis=-1)
        noise = float(np.median(distance[where])) * 1.5 + 2
        inliers = where & (distance < 2.5 * noise)
    return surface, noise


def _thing(small: np.ndarray, distance: np.ndarray, border: np.ndarray, noise: float) -> np.ndarray:
    """(h, w) uint8 0/1: the largest connected thing, its holes filled unless the ground shows through."""
    likely = distance > max(12.0, 2.5 * noise)
    if not 0.01 < likely.mean() < 0.9:
        raise NoCutoutError("no_thing")
    labels = np.full(distance.shape, cv2.GC_PR_BGD, np.uint8)
    labels[likely] = cv2.GC_PR_FGD
    labels[border & (distance < GROUND_LAB)] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # GrabCut's clusters start at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), labels, None, *models, 4, cv2.GC_INIT_WITH_MASK)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(found)
    if count < 2:
        raise NoCutoutError("no_thing")
    mask = (parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    holes, parts, _, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    for hole in range(1, holes):
        at = parts == hole
        # Print as pale as the ground is print; a large gap in its color is the ground seen through.
        if not (at & border).any() and (at.mean() < 0.004 or float(np.median(distance[at])) > 8):
            mask[at] = 1
    return mask


def _check(mask: np.ndarray, lab: np.ndarray) -> None:
    area = float(mask.mean())
    if area < AREA[0]:
        raise NoCutoutError("too_small")
    if area > AREA[1]:
        raise NoCutoutError("too_large")
    ys, xs = np.nonzero(mask)
    sides = np.ptp(ys) + 1, np.ptp(xs) + 1
    if max(sides) > 4 * min(sides) or mask.sum() < 0.3 * sides[0] * sides[1]:
        raise NoCutoutError("thin")
    outline = mask - cv2.erode(mask, np.ones((3, 3), np.uint8), borderValue=0)
    at_edge = np.zeros_like(mask)
    at_edge[:2], at_edge[-2:], at_edge[:, :2], at_edge[:, -2:] = 1, 1, 1, 1
    if float((outline * at_edge).sum()) > MAX_ON_EDGE * float(outline.sum()):
        raise NoCutoutError("on_edge")
    size = np.ones((5, 5), np.uint8)
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8)).astype(np.float32)
    outside = 1 - cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32)
    means = [_mean_near(lab, part, size.shape) for part in (inside, outside)]
    contrast = np.linalg.norm(means[0] - means[1], axis=-1)
    at = (outline > 0) & (at_edge == 0)
    if float((contrast[at] > EDGE_LAB).mean()) < MIN_SHARP_OUTLINE:
        raise NoCutoutError("soft_outline")


def _mean_near(lab: np.ndarray, weight: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Mean of `lab` over the weighted pixels of a 9 px window."""
    total = cv2.boxFilter(weight, -1, (9, 9), normalize=False)[..., None]
    return cv2.boxFilter(lab * weight[..., None], -1, (9, 9), normalize=False) / np.maximum(total, 1e-3)


def _alpha(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The mask at full size, drawn in by a pixel of the small one and softened over about as much."""
    inner = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), borderValue=0).astype(
        np.float32
    )
    full = cv2.resize(cv2.GaussianBlur(inner, (0, 0), 0.8), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint((full - 0.2) / 0.6 * 255), 0, 255).astype(np.uint8)


def _filled(rgb: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, float]:
    """The picture with the thing gone, and the scatter of the ground's texture in levels.

    The ground is spread smoothly into the hole (pull-push: Gortler et al. 1996) and given noise as strong as its own.
    A ground with a pattern would show where it was painted, which is why its scatter is returned.
    """
    # Soft shadows go with the thing: a margin around the outline is painted too.
    margin = max(5, round(0.03 * max(rgb.shape[:2]))) | 1
    gone = cv2.dilate(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (margin, margin))) > 0
    x, known = rgb.astype(np.float32), (~gone).astype(np.float32)
    smooth = _spread(x, known)
    rest = (x - cv2.GaussianBlur(x, (0, 0), 4))[
        cv2.erode(known.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0
    ]
    scatter = float(rest.std()) if rest.size > 300 else 255.0
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal(rgb.shape[:2], np.float32), (0, 0), 0.8)
    painted = smooth + (noise * (scatter / max(1e-6, float(noise.std()))))[..., None]
    soft = cv2.GaussianBlur(gone.astype(np.float32), (0, 0), margin / 4)
    soft = np.where(alpha > 0, 1.0, np.minimum(1.0, 2 * soft))[..., None] * gone[..., None]
    return np.clip(np.rint(x + (painted - x) * soft), 0, 255).astype(np.uint8), scatter


def _spread(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values of known pixels spread into unknown ones, coarse to fine."""
    if min(x.shape[:2]) <= 2:
        total = max(1e-6, float(known.sum()))
        return np.broadcast_to((x * known[..., None]).sum(axis=(0, 1)) / total, x.shape)
    size = ((x.shape[1] + 1) // 2, (x.shape[0] + 1) // 2)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(x * known[..., None], size, interpolation=cv2.INTER_AREA)
    small /= np.maximum(weight, 1e-6)[..., None]
    coarse = _spread(small, np.minimum(1.0, weight * 4))
    coarse = cv2.GaussianBlur(cv2.resize(coarse, x.shape[1::-1], interpolation=cv2.INTER_LINEAR), (0, 0), 1)
    return x * known[..., None] + coarse * (1 - known[..., None])

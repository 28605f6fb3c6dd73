"""A cheap test for text that needs no weights: is this image worth the cost of a real OCR?

Writing is a row (or column) of small shapes that are much alike: near each other, of similar
height, drawn with strokes of similar width in the same ink, each shape even in itself and lying on an
even ground. The gate binarizes the luminance against its local mean, in both polarities and at a
few scales, takes connected shapes that could be a letter, gives each an evenness (1 = flat ink on flat
ground, 0 = as uneven as its own contrast allows), and looks for chains of alike neighbors. The
score of an image is the largest sum of evenness over one chain. It favors recall: tiles, fences and
foliage often pass, and cost one OCR run each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

#: Raised whenever the verdict on some image changes.
VERSION = 1

# Columns of a shape table.
X, Y, W, H, STROKE, CONTRAST, INK, EVEN = range(8)


@dataclass(frozen=True)
class GateResult:
    """Attributes:
    has_text: whether OCR should run.
    score: evenness summed over the best chain of alike shapes; 0 = no chain at all. The search
        stops at the first scale that decides, so it is a lower bound.
    """

    has_text: bool
    score: float


@dataclass(frozen=True)
class TextGate:
    """The detector's settings; lengths in pixels of the scale at hand.

    Attributes:
        long_sides_px: scales the image is looked at in: fine print needs the large one, headlines
            whose strokes are wider than `window_px` the small one. Never enlarged.
        window_px: side of the local-mean window.
        min_contrast: least difference of ink and ground, in 8-bit luminance steps.
        min_height_px: smallest letter considered; below about 6 px no recognizer reads.
        max_unevenness: standard deviation within ink and ground, over their contrast, at which the
            evenness of a shape is 0; half as much again for the thinnest strokes.
        min_score: least score that counts as writing. Set so that 97 % of images with one short string
            pass, rendered in many fonts and sizes over flat grounds and photographs.
        min_side_px, max_aspect: smaller or more elongated images always pass. They are often crops of
            one word, too few shapes to judge, and reading them is cheap.
    """

    long_sides_px: tuple[int, ...] = (640, 1600, 240)
    window_px: int = 31
    min_contrast: float = 15.0
    min_height_px: int = 6
    max_unevenness: float = 0.35
    min_score: float = 1.3
    min_side_px: int = 96
    max_aspect: float = 4.0

    def __call__(self, rgb: np.ndarray) -> GateResult:
        """Verdict on an (H, W, 3) uint8 image. Raises ValueError for anything else."""
        import cv2

        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise ValueError(f"the text gate needs an (H, W, 3) uint8 image, got {rgb.shape}, {rgb.dtype}")
        short, long = sorted(rgb.shape[:2])
        if short < self.min_side_px or long > self.max_aspect * short:
            return GateResult(True, 0.0)
        gray = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
        best = 0.0
        for scaled in self._scales(gray):
            best = max(best, self._best_chain(scaled))
            if best >= self.min_score:
                break
        return GateResult(best >= self.min_score, best)

    def _scales(self, gray: np.ndarray) -> Iterator[np.ndarray]:
        import cv2

        height, width = gray.shape
        seen = set()
        for side in self.long_sides_px:
            scale = min(1.0, side / max(height, width))
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            if size not in seen:
                seen.add(size)
                yield gray if scale == 1.0 else cv2.resize(gray, size, interpolation=cv2.INTER_AREA)

    def _best_chain(self, gray: np.ndarray) -> float:
        import cv2

        # A margin lets letters that touch the border, as in a tight crop of a line, stand free.
        gray = cv2.copyMakeBorder(gray, 4, 4, 4, 4, cv2.BORDER_REPLICATE)
        mean = cv2.blur(gray, (self.window_px, self.window_px), borderType=cv2.BORDER_REFLECT)
        difference = gray.astype(np.int16) - mean
        light = self._shapes(gray, difference > 0.8 * self.min_contrast)
        dark = self._shapes(gray, difference < -0.8 * self.min_contrast)
        return max(chain_score(light), chain_score(dark))

    def _shapes(self, gray: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Connected shapes that could be letters, (n, 8) float64, columns as named above."""
        import cv2

        bits = mask.astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(bits, connectivity=8)
        _, _, w, h, area = stats.T
        plausible = (
            (np.arange(count) > 0)
            & (h >= self.min_height_px)
            & (h <= 0.9 * mask.shape[0])
            & (w <= 8 * h)  # joined letters and script faces come out wide
            & (h <= 12 * w)
            & (area >= np.maximum(8, 0.12 * w * h))
        )
        ids = np.flatnonzero(plausible)
        if len(ids) < 2:
            return np.empty((0, 8))
        x, y, w, h, area = stats[ids].T.astype(float)
        # A thin stroke of width s and length l has area s*l and about 2*l edge pixels.
        inner = cv2.erode(bits, np.ones((3, 3), np.uint8)).astype(bool)
        edge = np.bincount(labels[mask & ~inner], minlength=count)[ids]
        stroke = 2 * area / np.maximum(edge, 1)
        # The ground is a ring two pixels out: the first pixel is a blend of ink and ground.
        marked = labels.astype(np.float32)
        near = cv2.dilate(marked, np.ones((3, 3), np.uint8))
        far = cv2.dilate(marked, np.ones((7, 7), np.uint8))
        ring = (near == 0) & (far > 0)
        ink, ink_var, _ = _moments(labels[mask], gray[mask], count)
        ground, ground_var, ground_area = _moments(far[ring].astype(np.int32), gray[ring], count)
        contrast = np.abs(ink - ground)[ids]
        unevenness = np.sqrt((ink_var + ground_var)[ids] / 2) / np.maximum(contrast, 1)
        # Strokes under 3 px are mostly blended edge, so flat ink cannot be asked of them.
        allowed = self.max_unevenness * np.clip(1 + 0.5 * (3 - stroke), 1, 1.5)
        even = 1 - unevenness / allowed
        letters = (
            (stroke <= 0.6 * np.maximum(w, h))
            & (contrast >= self.min_contrast)
            & (even > 0)
            & (ground_area[ids] > 1)
        )
        return np.stack([x, y, w, h, stroke, contrast, ink[ids], even], axis=1)[letters]


def _moments(labels: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance and number of `values` per label 0..count-1."""
    values = values.astype(float)
    n = np.bincount(labels, minlength=count)
    mean = np.bincount(labels, values, minlength=count) / np.maximum(n, 1)
    square = np.bincount(labels, values**2, minlength=count) / np.maximum(n, 1)
    return mean, np.maximum(square - mean**2, 0), n


def chain_score(shapes: np.ndarray) -> float:
    """Largest sum of evenness over a horizontal or vertical chain of at least two alike neighbors.

    Args:
        shapes: (n, 8), as made by `TextGate`.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n = len(shapes)
    if n < 2:
        return 0.0
    centers = shapes[:, [X, Y]] + shapes[:, [W, H]] / 2
    _, near = cKDTree(centers).query(centers, k=min(n, 9))
    a, b = np.repeat(np.arange(n), near.shape[1]), near.ravel()
    a, b = a[a < b], b[a < b]
    p, q = shapes[a], shapes[b]

    def within(column: int, factor: float) -> np.ndarray:
        return np.maximum(p[:, column], q[:, column]) <= factor * np.minimum(p[:, column], q[:, column])

    same_ink = np.abs(p[:, INK] - q[:, INK]) <= 0.2 * np.minimum(p[:, CONTRAST], q[:, CONTRAST])
    alike = within(STROKE, 1.8) & within(CONTRAST, 1.8) & same_ink
    off = np.abs(centers[a] - centers[b])
    feet = np.abs((p[:, Y] + p[:, H]) - (q[:, Y] + q[:, H]))
    gap_x = np.maximum(p[:, X], q[:, X]) - np.minimum(p[:, X] + p[:, W], q[:, X] + q[:, W])
    gap_y = np.maximum(p[:, Y], q[:, Y]) - np.minimum(p[:, Y] + p[:, H], q[:, Y] + q[:, H])
    high, low = np.maximum(p[:, H], q[:, H]), np.minimum(p[:, H], q[:, H])
    wide, narrow = np.maximum(p[:, W], q[:, W]), np.minimum(p[:, W], q[:, W])
    # Capitals and descenders vary the height, so either feet or middles may agree.
    row = (
        within(H, 1.8) & (np.minimum(feet, off[:, 1]) <= 0.2 * high) & (gap_x <= high) & (gap_x > -0.3 * low)
    )
    column = within(W, 1.8) & (off[:, 0] <= 0.2 * wide) & (gap_y <= 0.6 * wide) & (gap_y > -0.3 * narrow)
    best = 0.0
    for linked in (row & alike, column & alike):
        i, j = a[linked], b[linked]
        graph = coo_matrix((np.ones(len(i), np.int8), (i, j)), shape=(n, n))
        _, member = connected_components(graph, directed=False)
        score = np.bincount(member, shapes[:, EVEN])
        score[np.bincount(member) < 2] = 0.0
        best = max(best, float(score.max()))
    return best

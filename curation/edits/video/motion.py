"""What changed between two frames of a shot: nothing, a subtitle, the camera, a thing, the light.

Both frames are aligned by SIFT matches; what the alignment leaves over is the change. Whether the camera merely panned
or zoomed (one similarity explains nearly everything) or went elsewhere (parallax: what is near moves against what is
far, so that no one plane explains the matches) decides about use and label.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...profile.sharpness import sharpness

#: Long side at which frames are compared, px.
WORKING_PX = 384
#: Levels from which on a pixel counts as changed: above what compression leaves on edges.
_CHANGED_LEVELS = 24
#: Matches off the plane that are needed before there is parallax.
_LEAST_OFF = 12


@dataclass(frozen=True)
class MotionRules:
    """When a frame or a pair is refused, and how it is labelled.

    Attributes:
        dark_levels: a frame with 95 % of its luma below this is black.
        flat_levels: a frame whose luma spreads less is flat.
        blur_share: a frame is blurred if less than this share as sharp as the median of its shot,
        blur_levels2: or less sharp than this (see `profile.sharpness`).
        still_share: changed share below which two frames are the same.
        static_share: camera movement, as a share of the diagonal, below which it stands still.
        explained_share: changed share, after alignment by a similarity, below which all was pan or zoom.
        parallax: share of matches off any one plane from which on the camera went elsewhere.
        scene_matches: fewer SIFT matches that agree, as a share of features, and nothing holds the frames together.
    """

    dark_levels: float = 32.0
    flat_levels: float = 8.0
    blur_share: float = 0.35
    blur_levels2: float = 3.0
    still_share: float = 0.004
    static_share: float = 0.008
    explained_share: float = 0.03
    parallax: float = 0.15
    scene_matches: float = 0.06


@dataclass(frozen=True)
class FrameLook:
    """Of one frame. `sharpness`: levels², see `profile.sharpness`."""

    dark: bool
    flat: bool
    sharpness: float


@dataclass(frozen=True)
class Motion:
    """Of one pair.

    Attributes:
        changed_share: share of pixels that differ as they stand, 0..1.
        camera_share: median movement of the background, as a share of the diagonal.
        zoom: scale of the similarity, 1 for none.
        overlap_share: share of the target that the moved source covers.
        left_share: changed share of the overlap after alignment by the similarity.
        matched_share: agreeing matches per feature.
        parallax: share of matches along one epipolar geometry that no single plane explains, 0..1.
        label: `video.*` type. None when rejected.
        reason: why the pair is refused; None when it is not.
    """

    changed_share: float
    camera_share: float
    zoom: float
    overlap_share: float
    left_share: float
    matched_share: float
    parallax: float
    label: str | None = None
    reason: str | None = None

    def scores(self) -> dict[str, float]:
        """Named figures that are stored with the pair."""
        names = ("camera_share", "zoom", "overlap_share", "left_share", "matched_share", "parallax")
        return {n: round(getattr(self, n), 4) for n in names}


def working(rgb: np.ndarray) -> np.ndarray:
    """A frame in the size it is compared in."""
    factor = WORKING_PX / max(rgb.shape[:2])
    return rgb if factor >= 1 else cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def look(rgb: np.ndarray, rules: MotionRules) -> FrameLook:
    """Of an (H, W, 3) uint8 frame in working size."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return FrameLook(
        bool(np.percentile(luma, 95) < rules.dark_levels),
        bool(luma.std() < rules.flat_levels),
        sharpness(luma),
    )


def compare(source: np.ndarray, target: np.ndarray, rules: MotionRules) -> Motion:
    """Compare two (H, W, 3) uint8 frames of one size, in working size."""
    a, b = _smooth(source), _smooth(target)
    changed = _cleaned(_differs(a, b))
    share = float(changed.mean())
    if share < rules.still_share:
        return Motion(share, 0.0, 1.0, 1.0, share, 1.0, 0.0, reason="near_duplicate")
    if _is_caption(changed, source, target):
        return Motion(share, 0.0, 1.0, 1.0, share, 1.0, 0.0, reason="subtitle_only")
    if _stands_still(source, target, changed):
        label = "video.appearance" if _light_only(a, b, rules) else "video.action"
        return Motion(share, 0.0, 1.0, 1.0, share, 1.0, 0.0, label=label)
    ours, theirs, features = _matches(source, target)
    similarity = _similarity(ours, theirs)
    if similarity is None:
        return _judged(Motion(share, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0), rules, a, b)
    matrix, inliers = similarity
    moved = np.linalg.norm((ours @ matrix[:, :2].T + matrix[:, 2]) - ours, axis=1)
    height, width = share_of = source.shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    travel = np.linalg.norm(corners @ matrix[:, :2].T + matrix[:, 2] - corners, axis=1)
    camera = max(float(np.median(moved[inliers])), float(np.median(travel))) / float(np.hypot(*share_of))
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if camera < rules.static_share:
        left, overlap = share, 1.0
    else:
        left, overlap = _left_over(a, b, matrix)
    found = Motion(
        share, camera, zoom, overlap, left, float(inliers.sum() / max(1, features)), _parallax(ours, theirs)
    )
    return _judged(found, rules, a, b)


def _judged(found: Motion, rules: MotionRules, a: np.ndarray, b: np.ndarray) -> Motion:
    # Of two explanations the one that leaves less: features on a thing that moved say nothing of the camera.
    static = found.camera_share < rules.static_share or found.changed_share <= 1.1 * found.left_share
    label = reason = None
    if static and found.changed_share < 0.35:
        label = "video.appearance" if _light_only(a, b, rules) else "video.action"
    elif found.matched_share < rules.scene_matches:
        if _same_edges(a, b) or _light_only(a, b, rules):
            label = "video.appearance"
        else:
            label = "video.action" if _same_surroundings(a, b) else "video.scene"
    elif static:
        label = "video.appearance" if _light_only(a, b, rules) else "video.action"
    elif found.left_share < rules.explained_share and found.parallax < rules.parallax:
        reason = "global_motion"
    elif found.overlap_share < 0.25 and found.parallax < rules.parallax:
        reason = "global_motion"  # a pan so far that hardly anything is left to compare
    elif found.parallax >= rules.parallax:
        label = "video.viewpoint"
    else:
        label = "video.action" if found.left_share < 0.25 or _same_surroundings(a, b) else "video.scene"
    values = {k: getattr(found, k) for k in found.__dataclass_fields__}
    return Motion(**{**values, "label": label, "reason": reason})


def types_of(motion: Motion) -> tuple[str, ...]:
    """Task ids of a labelled pair."""
    if motion.label is None:
        return ()
    return (motion.label, "viewpoint.camera") if motion.label == "video.viewpoint" else (motion.label,)


def _smooth(rgb: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(rgb, (5, 5), 1.2)


def _differs(a: np.ndarray, b: np.ndarray, slack_px: int = 1) -> np.ndarray:
    """(H, W) bool: b leaves the range that a has within `slack_px`, and the other way round, by more than noise.

    With the range an edge that is half a pixel off is no change.
    """
    box = np.ones((2 * slack_px + 1,) * 2, np.uint8)
    far = np.zeros(a.shape[:2], bool)
    for x, y in ((a, b), (b, a)):
        low, high = cv2.erode(x, box), cv2.dilate(x, box)
        out = np.maximum(cv2.subtract(low, y), cv2.subtract(y, high)).max(axis=2)
        far |= out > _CHANGED_LEVELS
    return far


def _cleaned(changed: np.ndarray) -> np.ndarray:
    """Without specks of two pixels."""
    return cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)).astype(bool)


def _is_caption(changed: np.ndarray, source: np.ndarray, target: np.ndarray) -> bool:
    """Whether all that changed is lettering in the lower (or upper) band: a wide, low box full of strokes."""
    height, width = changed.shape
    rows = np.flatnonzero(changed.sum(axis=1) > 0)
    total = int(changed.sum())
    counts = changed.sum(axis=1).cumsum()
    # The box that holds the middle 98 % of what changed.
    top, bottom = (int(np.searchsorted(counts, total * q)) for q in (0.01, 0.99))
    if not len(rows) or bottom - top > 0.22 * height or not (top > 0.66 * height or bottom < 0.25 * height):
        return False
    columns = changed[top : bottom + 1].sum(axis=0).cumsum()
    left, right = (int(np.searchsorted(columns, columns[-1] * q)) for q in (0.01, 0.99))
    if right - left < 1.5 * (bottom - top) or abs((left + right) / 2 - width / 2) > 0.15 * width:
        return False
    strokes = []
    for rgb in (source, target):
        luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[top : bottom + 1, left : right + 1]
        edges = cv2.Canny(luma, 80, 200) > 0
        strokes.append(float(edges.mean()))
    return max(strokes) > 0.10


def _stands_still(source: np.ndarray, target: np.ndarray, changed: np.ndarray) -> bool:
    """Whether most outlines, all over the picture, lie where they lay: proof of a fixed camera without any features."""
    edges = [cv2.Canny(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), 60, 150) > 0 for x in (source, target)]
    if min(e.sum() for e in edges) < 100:
        # Next to no outlines: what little changed, changed by itself.
        return float(changed.mean()) < 0.25
    near = cv2.dilate(edges[1].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    kept = edges[0] & near & ~changed
    rows, columns = (np.flatnonzero(kept.sum(axis=a) > 0) for a in (1, 0))
    wide = len(rows) > 0.3 * kept.shape[0] and len(columns) > 0.3 * kept.shape[1]
    return wide and float(kept.sum() / edges[0].sum()) > 0.7


def _matches(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Places of SIFT features (Lowe 2004) in source and target that are each other's nearest by a clear margin."""
    sift = cv2.SIFT_create(nfeatures=1200, contrastThreshold=0.02)
    found = [sift.detectAndCompute(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), None) for x in (source, target)]
    (ours, mine), (theirs, yours) = found
    features = min(len(ours), len(theirs))
    if features < 8:
        return np.zeros((0, 2)), np.zeros((0, 2)), features
    # Hellinger distance (Arandjelovic and Zisserman 2012); unit vectors, so that a product is all there is to do.
    mine, yours = (np.sqrt(d / np.maximum(d.sum(axis=1, keepdims=True), 1e-6)) for d in (mine, yours))
    alike = mine @ yours.T
    best = alike.argmax(axis=1)
    back = alike.argmax(axis=0)
    top = np.sort(np.partition(alike, -2, axis=1)[:, -2:], axis=1)
    far = np.sqrt(np.maximum(0, 2 - 2 * top))
    good = (back[best] == np.arange(len(best))) & (far[:, 1] < 0.85 * far[:, 0])
    a = np.array([ours[i].pt for i in np.flatnonzero(good)], np.float64).reshape(-1, 2)
    b = np.array([theirs[best[i]].pt for i in np.flatnonzero(good)], np.float64).reshape(-1, 2)
    return a, b, features


def _similarity(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """([2, 3], inliers) of the similarity most matches agree on."""
    if len(a) < 8:
        return None
    cv2.setRNGSeed(0)
    matrix, inliers = cv2.estimateAffinePartial2D(a, b, ransacReprojThreshold=2.0, maxIters=2000)
    if matrix is None or inliers.sum() < 8:
        return None
    return matrix, inliers.ravel().astype(bool)


def _parallax(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the matches of one epipolar geometry that one homography does not explain."""
    if len(a) < 24:
        return 0.0
    cv2.setRNGSeed(0)
    _, plane = cv2.findHomography(a, b, cv2.RANSAC, 3.0, maxIters=2000)
    cv2.setRNGSeed(0)
    matrix, lines = cv2.findFundamentalMat(a, b, cv2.FM_RANSAC, 1.5, 0.99, 2000)
    if plane is None or lines is None or matrix is None or matrix.shape != (3, 3):
        return 0.0
    along = lines.ravel().astype(bool)
    off = along & ~plane.ravel().astype(bool)
    spread = np.ptp(a[off], axis=0) if off.sum() >= _LEAST_OFF else np.zeros(2)
    # A few matches in one place follow any epipolar geometry: something that moved there, or chance.
    return float(off.sum() / max(1, along.sum())) if spread.max() > 0.3 * WORKING_PX else 0.0


def _left_over(a: np.ndarray, b: np.ndarray, matrix: np.ndarray) -> tuple[float, float]:
    """(changed share of the overlap, overlap share) after the source is moved onto the target."""
    size = (a.shape[1], a.shape[0])
    moved = cv2.warpAffine(a, matrix, size, flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.full(a.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
    inside = cv2.erode(inside, np.ones((7, 7), np.uint8), borderValue=0) > 0
    if inside.mean() < 0.02:
        return 1.0, float(inside.mean())
    changed = _cleaned(_differs(moved, b, slack_px=2) & inside)
    return float(changed.sum() / inside.sum()), float(inside.mean())


def _light_only(a: np.ndarray, b: np.ndarray, rules: MotionRules) -> bool:
    """Whether gain and offset per channel leave (almost) nothing of the change."""
    x, y = a.reshape(-1, 3).astype(np.float32), b.reshape(-1, 3).astype(np.float32)
    gain = np.clip(y.std(axis=0) / np.maximum(x.std(axis=0), 1), 0.25, 4)
    fitted = np.clip((a.astype(np.float32) - x.mean(axis=0)) * gain + y.mean(axis=0), 0, 255).astype(np.uint8)
    before = float(_cleaned(_differs(a, b)).mean())
    after = float(_cleaned(_differs(fitted, b)).mean())
    return before > 0.2 and after < max(rules.still_share * 5, before * 0.15)


def _same_edges(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether outlines stay where they were although little matches: another light or surface."""
    edges = [cv2.Canny(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), 60, 150) > 0 for x in (a, b)]
    near = [cv2.dilate(e.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for e in edges]
    if min(e.sum() for e in edges) < 50:
        return False
    kept = min(float(near[1][edges[0]].mean()), float(near[0][edges[1]].mean()))
    # What chance would leave, from how much of the picture lies near an edge.
    chance = max(float(n.mean()) for n in near)
    return kept > max(0.6, 2 * chance)


def _same_surroundings(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the outer ring of the picture keeps its colors: the place stayed, whatever moved in it."""
    x, y = (cv2.resize(c, (8, 6), interpolation=cv2.INTER_AREA).astype(np.float32) for c in (a, b))
    apart = np.abs(x - y).mean(axis=2)
    apart[1:-1, 1:-1] = np.nan
    return float(np.nanmedian(apart)) < 20

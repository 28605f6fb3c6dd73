"""Reading back rendered bilingual posters with the OCR stage's own path: text gate, engine, reading order.

    python benchmarks/caption_ocr.py [--quick] [--seed 7] [--fonts bundled|system|all] [--save FOLDER]

Every poster has Chinese and English on it, 24 px and larger, at a contrast of at least 3, in fonts found on
this machine. Recall and precision are micro averages over multisets after NFKC: zh by character, en by word.
`ned` is the mean Levenshtein distance of the whole text in reading order. Posters with Chinese set
vertically are drawn in addition and have a figure of their own. Prints images/s on one core with the share of each
part (detector, direction, recognizer, gate) beside the bare engine at its defaults, as a peer, on the same
posters. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from ocr_posters import LAYOUTS, Poster, poster
from ocr_words import bundled_faces, system_faces, use_texts

from zcurate.captioner.lettering import Agreement, agreement, leaked, ordered_distance
from zcurate.captioner.ocr.rapid import RapidOcr
from zcurate.captioner.ocr.text_gate import TextGate

BANDS_PX = (24, 32, 64, 128, 10_000)


def read(ocr: RapidOcr, gate: TextGate, rgb: np.ndarray) -> tuple[list[str], float, float]:
    """Lines of one picture, seconds in the gate, seconds in the engine."""
    started = time.perf_counter()
    passed = gate(rgb).has_text
    gated = time.perf_counter()
    lines = [line.text for line in ocr.read(rgb)] if passed else []
    return lines, gated - started, time.perf_counter() - gated


def timed_parts(ocr: RapidOcr, seconds: dict[str, list[float]]) -> None:
    """Note what the engine says about the time of its parts, per call."""
    plain = ocr._run

    def run(bgr: np.ndarray, detect: bool) -> object:
        found = plain(bgr, detect)
        spent = getattr(found, "elapse_list", ())
        for name, part in zip(("detector", "direction", "recognizer"), spent, strict=False):
            seconds[name].append(part or 0.0)
        return found

    ocr._run = run


def peer_read(engine: object, rgb: np.ndarray) -> tuple[list[str], float]:
    """What RapidOCR gives when called as its documentation shows, and seconds."""
    started = time.perf_counter()
    found = engine(rgb[:, :, ::-1])
    return list(found.txts or ()), time.perf_counter() - started


def missing_lines(made: Poster, lines: list[str]) -> list[tuple[str, int]]:
    """Lines of a poster of which some token was not read."""
    return [
        (text, size)
        for text, size in made.lines
        if any(a.matched < a.reference for a in agreement([text], lines).values())
    ]


def show(groups: dict[str, dict[str, Agreement]]) -> None:
    for name in sorted(groups):
        parts = []
        for language in ("zh", "en"):
            a = groups[name].get(language, Agreement())
            if a.reference:
                parts.append(
                    f"{language} recall {a.recall:.4f} of {a.reference:6}  precision {a.precision or 0:.4f}"
                )
        print(f"  {name:34}", "   ".join(parts))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--posters", type=int, default=200)
    parser.add_argument("--vertical", type=int, default=20, help="posters with vertical Chinese, in addition")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fonts", choices=("bundled", "system", "all"), default="all")
    parser.add_argument(
        "--texts", type=Path, help="UTF-8 file of sentences, one a line, for the posters' text"
    )
    parser.add_argument("--quick", action="store_true", help="20 posters, no peer")
    parser.add_argument("--no-peer", action="store_true", help="leave out the bare engine")
    parser.add_argument("--save", type=Path, help="write posters with misses here, with their lines")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if args.quick:
        args.posters, args.vertical, args.no_peer = 20, 4, True
    faces = {
        "bundled": bundled_faces,
        "system": system_faces,
        "all": lambda: bundled_faces() + system_faces(),
    }
    fonts = faces[args.fonts]()
    if args.texts:
        use_texts([s.strip() for s in args.texts.read_text(encoding="utf-8").splitlines() if s.strip()])
    if not any(f.chinese for f in fonts) or all(f.chinese for f in fonts):
        parser.error("fonts of both languages are needed: pip install matplotlib mplfonts, or --fonts system")
    print(f"{sum(f.chinese for f in fonts)} Chinese and {sum(not f.chinese for f in fonts)} English fonts")
    ocr, gate = RapidOcr(threads=1), TextGate()
    ocr.load()
    peer = None
    if not args.no_peer:
        from rapidocr import RapidOCR

        peer = RapidOCR(
            params={"Global.log_level": "critical", "EngineConfig.onnxruntime.intra_op_num_threads": 1}
        )
    groups: dict[str, dict[str, Agreement]] = defaultdict(lambda: {"en": Agreement(), "zh": Agreement()})
    distances, leaks, strings, missed_by_gate = [], 0, 0, 0
    seconds: dict[str, list[float]] = defaultdict(list)
    timed_parts(ocr, seconds)
    for number in range(args.posters + args.vertical):
        layout = LAYOUTS[number % len(LAYOUTS)] if number < args.posters else "vertical"
        made = poster(args.seed, number, fonts, layout)
        lines, gate_s, engine_s = read(ocr, gate, made.rgb)
        truth = [text for text, _ in made.lines]
        counts = agreement(truth, lines)
        names = ["vertical"] if layout == "vertical" else [
            "all", f"layout {layout}", f"ground {made.ground}", f"side {max(made.rgb.shape):5} px",
        ]  # fmt: skip
        for name in names:
            groups[name] = {k: groups[name][k] + counts[k] for k in counts}
        missing = missing_lines(made, lines)
        if layout != "vertical":
            distances.append(ordered_distance("".join(truth), "".join(lines)))
            leaks, strings = leaks + len(leaked(truth, lines)), strings + len(lines)
            missed_by_gate += not lines
            seconds["gate"].append(gate_s)
            seconds["engine"].append(engine_s)
            if peer is not None:
                texts, peer_s = peer_read(peer, made.rgb)
                seconds["peer"].append(peer_s)
                read_by_peer = agreement(truth, texts)
                groups["all, bare engine"] = {
                    k: groups["all, bare engine"][k] + read_by_peer[k] for k in read_by_peer
                }
            for language, font in zip(("en", "zh"), made.fonts, strict=True):
                name = f"font {font}"
                groups[name] = groups[name] | {language: groups[name][language] + counts[language]}
            for low, high in zip(BANDS_PX, BANDS_PX[1:], strict=False):
                # By line: a token elsewhere on the page may stand in for a missed one, so this is an upper bound.
                band = [text for text, size in made.lines if low <= size < high]
                counted = agreement(band, lines)
                name = f"size {low:3} px and up"
                groups[name] = {
                    k: groups[name][k]
                    + Agreement(counted[k].matched, counted[k].reference, counted[k].reference)
                    for k in counted
                }
        if missing and args.save:
            args.save.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(args.save / f"{number:04d}_{layout}.png"), made.rgb[:, :, ::-1])
            record = {"missing": missing, "read": lines, "truth": made.lines, "ground": made.ground}
            text = json.dumps(record | {"fonts": made.fonts}, ensure_ascii=False, indent=1)
            (args.save / f"{number:04d}_{layout}.json").write_text(text)
    show(groups)
    every = groups["all"]
    per_image = [g + e for g, e in zip(seconds["gate"], seconds["engine"], strict=True)]
    whole = sum(per_image) / args.posters * (args.posters + args.vertical)
    shares = [f"{name} {sum(seconds[name]) / whole:.0%}" for name in ("detector", "direction", "recognizer")]
    gate_share = sum(seconds["gate"]) / sum(per_image)
    print(f"{statistics.mean(per_image):.2f} s per poster: gate {gate_share:.0%}, about {', '.join(shares)}")
    result = {
        "posters": args.posters,
        "recall_en": every["en"].recall,
        "recall_zh": every["zh"].recall,
        "precision_en": every["en"].precision,
        "precision_zh": every["zh"].precision,
        "ned": statistics.mean(distances),
        "language_leak_rate": leaks / max(strings, 1),
        "posters_without_text_read": missed_by_gate,
        "recall_zh_vertical": groups["vertical"]["zh"].recall,
        "recall_en_bare": groups["all, bare engine"]["en"].recall,
        "recall_zh_bare": groups["all, bare engine"]["zh"].recall,
        "images_per_s_core": 1 / statistics.mean(per_image),
        "images_per_s_core_bare": 1 / statistics.mean(seconds["peer"]) if seconds["peer"] else None,
    }
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in result.items()}))


if __name__ == "__main__":
    main()

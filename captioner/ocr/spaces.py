"""Spaces between words that the recognizer saw but did not write.

The recognizer gives a probability per character and column (CTC), and its decoder takes the likeliest. On a busy ground
the space between two words is often a close second to "nothing here", and the words run together. Here a space is
written wherever its probability between two characters reaches `MIN_SPACE_PROBABILITY`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .lines import script_of

#: Chosen on degraded single lines (170 fonts, noise, blur, 9 to 24 px): brings back two lost spaces of three and splits
#: about one word in 6,000 gaps between letters; at 0.05 four of five, and four times as many words split.
MIN_SPACE_PROBABILITY = 0.2

#: Scripts written without spaces.
_UNSPACED = ("han", "kana")


def keep_spaces(reader: Any) -> None:
    """Let a `rapidocr.RapidOCR` write the spaces it would lose. Loads its recognizer."""
    recognizer = reader._load_rec_model()
    plain = recognizer.postprocess_op
    characters = plain.character

    def decode(probabilities: np.ndarray, *args: Any, **settings: Any) -> Any:
        lines, words = plain(probabilities, *args, **settings)
        spaced = [
            (with_spaces(text, one, characters), score)
            for (text, score), one in zip(lines, probabilities, strict=True)
        ]
        return spaced, words

    recognizer.postprocess_op = decode


def with_spaces(text: str, probabilities: np.ndarray, characters: list[str]) -> str:
    """The decoded text with the spaces that are likely enough put in.

    Args:
        text: greedy decoding of `probabilities`.
        probabilities: (columns, len(characters)) float, 0..1; index 0 is the CTC blank.
        characters: of the recognizer; " " is the last.
    """
    best = probabilities.argmax(axis=1)
    first = np.flatnonzero((best != 0) & np.r_[True, best[1:] != best[:-1]])
    letters = [characters[i] for i in best[first]]
    if len(letters) < 2 or "".join(letters) != text:
        return text  # a decoder that does more than take the likeliest: leave its text alone
    space = probabilities[:, len(characters) - 1]
    written = [letters[0]]
    for (left, start), (right, end) in zip(
        zip(letters, first, strict=True), zip(letters[1:], first[1:], strict=True), strict=False
    ):
        between = space[start : end + 1].max()
        if (
            between >= MIN_SPACE_PROBABILITY
            and not (left.isspace() or right.isspace())
            and _spaced(left, right)
        ):
            written.append(" ")
        written.append(right)
    return "".join(written)


def _spaced(left: str, right: str) -> bool:
    return left.isalnum() and right.isalnum() and not {script_of(left), script_of(right)} & set(_UNSPACED)

"""A tolerant reader of one JSON object: punctuation that models get wrong is put right, strings never are.

Understood beyond JSON: a comma before a closing bracket; full-width punctuation between values; strings in single or
curly quotes; raw line breaks and tabs inside strings; True, False and None; closing brackets missing at the very end.
A string whose end is in doubt (an unescaped quotation mark inside it, the end of the text) is an error, not a guess.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 64

_BLANK = re.compile(r"[\s\u3000\ufeff]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])", re.A)
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_WORD = re.compile(r"[A-Za-z]+")
_CLOSING_QUOTE = {'"': '"', "'": "'", "“": "”", "‘": "’", "＂": "＂"}
_HALF_WIDTH = str.maketrans("｛｝［］：，", "{}[]:,")
_CONTROL = re.compile(r"[\x00-\x1f]")


class BrokenError(ValueError):
    """No object can be read. `position` is where reading failed, `keys` how many keys had been read by then."""

    def __init__(self, problem: str, position: int, keys: int):
        super().__init__(f"{problem} at character {position}")
        self.position, self.keys = position, keys


def mend(text: str, start: int = 0) -> tuple[dict[str, Any], int, set[str]]:
    """Read the object that opens at `start`.

    Returns:
        The object, the position after it, and what was put right (comma, constants, control_chars, full_width,
        single_quotes, unclosed). Where nothing was, the object is what `json.loads` gives.

    Raises:
        BrokenError: it cannot be read without altering a string or guessing a value.
    """
    reader = _Reader(text, start)
    value = reader.value(0)
    if not isinstance(value, dict):
        raise BrokenError("no object", start, 0)
    return value, reader.at, reader.mended


class _Reader:
    def __init__(self, text: str, at: int):
        self.text, self.at = text, at
        self.mended: set[str] = set()
        self.keys = 0

    def value(self, depth: int) -> Any:
        char = self._peek()
        if depth > MAX_DEPTH:
            raise self._broken("nested too deeply")
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._array(depth)
        if char in _CLOSING_QUOTE:
            return self._string()
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            try:
                return json.loads(number.group())
            except ValueError as e:  # more digits than Python converts
                raise self._broken("a number that is too long") from e
        word = _WORD.match(self.text, self.at)
        if word and word.group() in _WORDS:
            self.at = word.end()
            if word.group()[0].isupper():
                self.mended.add("constants")
            return _WORDS[word.group()]
        raise self._broken("no value")

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._take()
        while not self._closed("}", bool(found)):
            if self._peek() not in _CLOSING_QUOTE:
                raise self._broken("no key in quotes")
            key = self._string()
            self.keys += 1
            if self._peek() != ":":
                raise self._broken(f"no colon after the key {key[:40]!r}")
            self._take()
            found[key] = self.value(depth + 1)
            self._comma("}")
        return found

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self._take()
        while not self._closed("]", bool(found)):
            found.append(self.value(depth + 1))
            self._comma("]")
        return found

    def _closed(self, bracket: str, after_comma: bool) -> bool:
        """Whether the container ends here: by its bracket, or because the text does."""
        char = self._peek()
        if char == bracket:
            if after_comma and self._last_comma:
                self.mended.add("comma")
            self._take()
            return True
        if char:
            return False
        if not self.keys or (after_comma and self._last_comma):
            # A comma says that more was to come: this text was cut, whatever its stop reason says.
            raise self._broken("an object without an end")
        self.mended.add("unclosed")
        return True

    _last_comma = False

    def _comma(self, bracket: str) -> None:
        """After a value: a comma, or the end of the container, which the caller takes."""
        char = self._peek()
        self._last_comma = char == ","
        if char == ",":
            self._take()
        elif char and char != bracket:
            raise self._broken(f"neither a comma nor {bracket!r} after a value")

    def _string(self) -> str:
        opening = self.text[self.at]
        closing = _CLOSING_QUOTE[opening]
        at = self.at + 1
        while True:
            match = re.compile(rf"[\\{closing}]").search(self.text, at)
            if match is None:
                raise self._broken("a string without an end")
            if match.group() != "\\":
                break
            at = match.end() + 1
        raw, self.at = self.text[self.at + 1 : match.start()], match.end()
        if opening == "'":
            self.mended.add("single_quotes")
        elif opening != '"':
            self.mended.add("full_width")
        if _CONTROL.search(raw):
            self.mended.add("control_chars")
        return self._unescaped(raw, opening)

    def _unescaped(self, raw: str, opening: str) -> str:
        """What the characters between the marks stand for, read by the JSON decoder."""
        if opening != '"':
            # Inside other marks a double quote stands for itself, and the mark itself may be escaped.
            raw = re.sub(
                r'\\(.)|"',
                lambda m: '\\"' if m.group() == '"' else m.group(1) if m.group(1) in "'‘’“”＂" else m.group(),
                raw,
                flags=re.S,
            )
        try:
            return json.loads(f'"{raw}"', strict=False)
        except ValueError as e:
            raise self._broken(f"an escape that is none ({e})") from e

    def _peek(self) -> str:
        """The next character that is no blank, full-width punctuation as its ASCII form; "" at the end."""
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1].translate(_HALF_WIDTH)

    def _take(self) -> None:
        if self.text[self.at] > "\x7f":
            self.mended.add("full_width")
        self.at += 1

    def _broken(self, problem: str) -> BrokenError:
        return BrokenError(problem, self.at, self.keys)

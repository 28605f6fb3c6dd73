"""Compiled scanner of SQL tuples. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit

#: What to do with a column.
SKIP, INTEGER, TEXT = 0, 1, 2
#: How a scan ended: tuples go on in the next block, `;` was reached, the output is full, or what is wrong.
MORE, END, FULL = 0, 1, 2
BAD_START, BAD_STRING_END, BAD_INTEGER, BAD_COUNT, BAD_DELIMITER, BAD_TEXT = 10, 11, 12, 13, 14, 15
#: How the bytes of a text are written: as they are, with escapes, or as hexadecimal digits.
PLAIN, ESCAPED, HEX = 0, 1, 2
#: Integer that stands for NULL.
NULL = np.iinfo(np.int64).min

_QUOTE, _ESCAPE, _COMMA, _OPEN, _CLOSE, _SEMICOLON, _MINUS = 39, 92, 44, 40, 41, 59, 45
_ZERO, _NINE, _N, _X, _UNDERSCORE = 48, 57, 78, 88, 95
#: Bit that tells lower from upper case.
_CASE = 32


@njit(nogil=True, cache=True, inline="always")
def _blank(byte):
    return byte == 32 or byte == 10 or byte == 13 or byte == 9


@njit(nogil=True, cache=True, inline="always")
def _digit(byte):
    """Value of a hexadecimal digit, -1 for others."""
    if _ZERO <= byte <= _NINE:
        return byte - _ZERO
    letter = byte & ~_CASE
    return letter - 55 if 65 <= letter <= 70 else -1


@njit(nogil=True, cache=True)
def _all_hex(block, first, last):
    for p in range(first, last):  # noqa: SIM110 - a generator does not compile
        if _digit(np.int64(block[p])) < 0:
            return False
    return True


@njit(nogil=True, cache=True)
def scan(block, pos, end, kinds, slots, ints, starts, stops, escaped, at):
    """Read whole tuples from `pos` on, where a `(` is due, up to `end`.

    Args:
        block: uint8. kinds, slots: per column of the table, what to do and which output row it goes to.
        ints: int64 [integer columns, capacity]. starts, stops: int64, escaped: uint8 (PLAIN, ESCAPED or HEX) [text
            columns, capacity]; spans of raw bytes between the quotes, start -1 for NULL. at: int64 [capacity], position of each tuple.

    Returns:
        (how it ended, position to go on from or of the fault, tuples read).
    """
    columns, capacity, row = kinds.shape[0], at.shape[0], 0
    while True:
        if row == capacity:
            return FULL, pos, row
        p = pos
        while p < end and _blank(block[p]):
            p += 1
        if p >= end:
            return MORE, pos, row
        if block[p] != _OPEN:
            return BAD_START, p, row
        at[row] = p
        p += 1
        for c in range(columns):
            while p < end and _blank(block[p]):
                p += 1
            if p >= end:
                return MORE, pos, row
            kind, slot = kinds[c], slots[c]
            byte = block[p]
            if byte == _UNDERSCORE:  # a character set before the string: _binary 'x'
                while p < end and not _blank(block[p]) and block[p] not in (_QUOTE, _COMMA, _CLOSE):
                    p += 1
                while p < end and _blank(block[p]):
                    p += 1
                if p >= end:
                    return MORE, pos, row
                byte = block[p]
            hexadecimal = False
            if byte & ~_CASE == _X:  # X'4142'
                if p + 1 >= end:
                    return MORE, pos, row
                if block[p + 1] == _QUOTE:
                    hexadecimal = True
                    p += 1
                    byte = block[p]
            if byte == _QUOTE:
                if kind == INTEGER:
                    return BAD_INTEGER, p, row
                p += 1
                first, special = p, PLAIN
                while True:
                    if p >= end:
                        return MORE, pos, row
                    byte = block[p]
                    if byte == _ESCAPE:
                        special = ESCAPED
                        p += 2
                    elif byte == _QUOTE:
                        if p + 1 >= end:
                            return MORE, pos, row
                        if block[p + 1] != _QUOTE:
                            break
                        special = ESCAPED
                        p += 2
                    else:
                        p += 1
                if kind == TEXT:
                    if hexadecimal:
                        special = HEX
                        if not _all_hex(block, first, p):
                            return BAD_TEXT, first, row
                    starts[slot, row], stops[slot, row], escaped[slot, row] = first, p, special
                p += 1
            elif kind == INTEGER:
                if byte & ~_CASE == _N:
                    ints[slot, row] = NULL
                    while p < end and block[p] >= 65:
                        p += 1
                else:
                    negative = byte == _MINUS
                    if negative:
                        p += 1
                    value, digits = np.int64(0), 0
                    while p < end and _ZERO <= block[p] <= _NINE:
                        value = value * 10 + (block[p] - _ZERO)
                        p += 1
                        digits += 1
                    if p >= end:
                        return MORE, pos, row
                    if digits == 0 or digits > 18:
                        return BAD_INTEGER, p, row
                    ints[slot, row] = -value if negative else value
            else:
                first = p
                while p < end and block[p] != _COMMA and block[p] != _CLOSE and block[p] != _QUOTE:
                    p += 1
                if p >= end:
                    return MORE, pos, row
                if block[p] == _QUOTE or p == first:
                    return BAD_DELIMITER, p, row
                if kind == TEXT:
                    last = p
                    while _blank(block[last - 1]):
                        last -= 1
                    if block[first] & ~_CASE == _N:
                        starts[slot, row], stops[slot, row], escaped[slot, row] = -1, -1, PLAIN
                    elif block[first] == _ZERO and last > first + 1 and block[first + 1] & ~_CASE == _X:
                        if not _all_hex(block, first + 2, last):
                            return BAD_TEXT, first, row
                        starts[slot, row], stops[slot, row], escaped[slot, row] = first + 2, last, HEX
                    else:
                        starts[slot, row], stops[slot, row], escaped[slot, row] = first, last, PLAIN
            while p < end and _blank(block[p]):
                p += 1
            if p >= end:
                return MORE, pos, row
            byte = block[p]
            if byte == _COMMA:
                if c == columns - 1:
                    return BAD_COUNT, at[row], row
            elif byte == _CLOSE:
                if c < columns - 1:
                    return BAD_COUNT, at[row], row
            else:
                return (BAD_INTEGER if kind == INTEGER else BAD_DELIMITER), p, row
            p += 1
        while p < end and _blank(block[p]):
            p += 1
        if p >= end:
            return MORE, pos, row
        if block[p] == _SEMICOLON:
            return END, p + 1, row + 1
        if block[p] != _COMMA:
            return BAD_DELIMITER, p, row
        row += 1
        pos = p + 1


@njit(nogil=True, cache=True)
def text_bytes(starts, stops, rows):
    """Upper bound of the bytes of `rows` texts."""
    total = 0
    for i in range(rows):
        total += stops[i] - starts[i]
    return total


@njit(nogil=True, cache=True)
def copy_texts(block, starts, stops, escaped, rows, offsets, out):
    """Texts one after another with MySQL's escapes resolved; `offsets` int32 [rows + 1]; bytes written."""
    w = 0
    offsets[0] = 0
    for i in range(rows):
        p, stop = starts[i], stops[i]
        if escaped[i] == HEX:
            value, half = 0, (stop - p) % 2 == 1  # an odd number of digits has a zero before it
            for q in range(p, stop):
                value = value * 16 + _digit(np.int64(block[q]))
                if half:
                    out[w] = value
                    w += 1
                    value = 0
                half = not half
        elif escaped[i] == PLAIN:
            for q in range(p, stop):
                out[w] = block[q]
                w += 1
        else:
            while p < stop:
                byte = block[p]
                if byte == _ESCAPE and p + 1 < stop:
                    p += 1
                    byte = block[p]
                    if byte == 48:  # \0
                        byte = 0
                    elif byte == 110:  # \n
                        byte = 10
                    elif byte == 114:  # \r
                        byte = 13
                    elif byte == 116:  # \t
                        byte = 9
                    elif byte == 98:  # \b
                        byte = 8
                    elif byte == 90:  # \Z
                        byte = 26
                elif byte == _QUOTE:  # a doubled quote
                    p += 1
                out[w] = byte
                w += 1
                p += 1
        offsets[i + 1] = w
    return w

"""Compiled scanner of SQL tuples. Importing this imports numba, so import it inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit

#: What to do with a column.
SKIP, INTEGER, TEXT = 0, 1, 2
#: How a scan ended: tuples go on in the next block, `;` was reached, the output is full, or what is wrong.
MORE, END, FULL = 0, 1, 2
BAD_START, BAD_STRING_END, BAD_INTEGER, BAD_COUNT, BAD_DELIMITER, BAD_TEXT = 10, 11, 12, 13, 14, 15
#: Integer that stands for NULL.
NULL = np.iinfo(np.int64).min

_QUOTE, _ESCAPE, _COMMA, _OPEN, _CLOSE, _SEMICOLON, _MINUS = 39, 92, 44, 40, 41, 59, 45
_ZERO, _NINE, _N, _X, _UNDERSCORE = 48, 57, 78, 120, 95


@njit(nogil=True, cache=True, inline="always")
def _blank(byte):
    return byte == 32 or byte == 10 or byte == 13 or byte == 9


@njit(nogil=True, cache=True)
def scan(block, pos, end, kinds, slots, ints, starts, stops, escaped, at):
    """Read whole tuples from `pos` on, where a `(` is due, up to `end`.

    Args:
        block: uint8. kinds, slots: per column of the table, what to do and which output row it goes to.
        ints: int64 [integer columns, capacity]. starts, stops: int64, escaped: bool [text columns, capacity];
            spans of raw bytes between the quotes, start -1 for NULL. at: int64 [capacity], position of each tuple.

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
                while p < end and block[p] != _QUOTE and block[p] != _COMMA and block[p] != _CLOSE:
                    p += 1
                if p >= end:
                    return MORE, pos, row
                byte = block[p]
            if byte == _QUOTE:
                if kind == INTEGER:
                    return BAD_INTEGER, p, row
                p += 1
                first, special = p, False
                while True:
                    if p >= end:
                        return MORE, pos, row
                    byte = block[p]
                    if byte == _ESCAPE:
                        special = True
                        p += 2
                    elif byte == _QUOTE:
                        if p + 1 >= end:
                            return MORE, pos, row
                        if block[p + 1] != _QUOTE:
                            break
                        special = True
                        p += 2
                    else:
                        p += 1
                if kind == TEXT:
                    starts[slot, row], stops[slot, row], escaped[slot, row] = first, p, special
                p += 1
            elif kind == INTEGER:
                if byte == _N:
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
                    if block[first] == _N:
                        starts[slot, row], stops[slot, row], escaped[slot, row] = -1, -1, False
                    elif block[first] == _ZERO and p > first + 1 and block[first + 1] == _X:
                        return BAD_TEXT, first, row
                    else:
                        starts[slot, row], stops[slot, row], escaped[slot, row] = first, p, False
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
        if not escaped[i]:
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

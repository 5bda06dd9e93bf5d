"""Cuts the type wrappers out of the bytes of many typed DynamoDB values at once, with array arithmetic.

In typed JSON, wrappers (`{"S":…}`) and payloads (maps, lists) alternate from level to level. So with braces
and brackets both counted as depth, its parity tells a wrapper from a map, whatever the attributes are called.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]

PADDING = 16
"""Zero bytes `unwrap` wants after the text: it reads at fixed distances from a brace."""

_LONGEST_NUMBER = 48  # DynamoDB has 38 digits; longer text takes the slow road

# Kinds of token: class of the byte + 2 * parity of the depth after it + 1 if it opens a string. A wrapper's
# inside (tag, scalar) has odd depth, a payload's even.
_KEY_END, _KEY, _INNER_END, _INNER = range(4)
_MAP, _WRAP, _LIST, _UNWRAP, _MAP_END, _LIST_END = 4, 6, 8, 12, 14, 18
_KINDS = 32


def _by_byte(entries: dict[str, int], dtype: type[np.generic]) -> Numbers:
    table = np.zeros(256, dtype)
    for characters, value in entries.items():
        table[list(characters.encode())] = value
    return table


_CLASS = _by_byte({"{": 4, "[": 8, "}": 12, "]": 16}, np.uint8)
_DELTA = _by_byte({"{[": 1, "}]": -1}, np.int8)
_PAYLOAD = _by_byte({"SNB": _INNER, "M": _MAP, "L": _LIST}, np.uint8)  # the token a payload begins with, by tag
_NUMBER_CLASS = _by_byte({"123456789": 1, "0": 2, "-": 3, "+": 4, ".": 5, "eE": 6, '"': 7}, np.uint8)


def _distances() -> Numbers:
    """Bytes from a token to the next, for each pair that may follow each other: 0 any number, -1 never."""
    table = np.full((_KINDS, _KINDS), -1, np.int64)
    for distance, first, seconds in (
        (0, _INNER, [_INNER_END]),
        (0, _KEY, [_KEY_END]),
        (0, _INNER_END, [_UNWRAP]),
        (1, _WRAP, [_INNER]),
        (1, _MAP, [_KEY, _MAP_END]),
        (1, _LIST, [_WRAP, _LIST_END]),
        (1, _MAP_END, [_UNWRAP]),
        (1, _LIST_END, [_UNWRAP]),
        (1, _UNWRAP, [_MAP_END, _LIST_END]),
        (2, _INNER_END, [_INNER, _MAP, _LIST]),
        (2, _KEY_END, [_WRAP]),
        (2, _UNWRAP, [_KEY, _WRAP]),
    ):
        table[first, seconds] = distance
    return table.ravel()


def _number_steps() -> Numbers:
    """JSON's grammar of numbers: state * 8 + class of a byte gives the next; 0 refused, 1 accepted.

    An exponent of three digits may be beyond MAX_EXPONENT, which the slow road knows.
    """
    start, minus, zero, whole, point, decimals, e, sign, units, tens = range(2, 12)
    digit, nought, dash, plus, dot, letter, quote = range(1, 8)
    table = np.zeros((12, 8), np.uint8)
    for state, steps in {
        start: {digit: whole, nought: zero, dash: minus},
        minus: {digit: whole, nought: zero},
        zero: {dot: point, letter: e, quote: 1},
        whole: {digit: whole, nought: whole, dot: point, letter: e, quote: 1},
        point: {digit: decimals, nought: decimals},
        decimals: {digit: decimals, nought: decimals, letter: e, quote: 1},
        e: {digit: units, nought: units, dash: sign, plus: sign},
        sign: {digit: units, nought: units},
        units: {digit: tens, nought: tens, quote: 1},
        tens: {quote: 1},
    }.items():
        for what, then in steps.items():
            table[state, what] = then
    return table.ravel()


_DISTANCE = _distances()
_NUMBER_STEP = _number_steps()
_NUMBER_START = 2


def unwrap(work: Numbers, bounds: Numbers, *, base64_layers: int) -> tuple[Numbers, Numbers]:
    """The plain text of many values, end to end, and the length of each: -1, and no text, if not sure of it.

    `work`: the bytes of the values and PADDING, overwritten; `bounds`: where each value begins, and the end.
    Not sure: sets, numbers that JSON cannot say, binary of two layers, spaces between tokens, and all that is
    no typed value. Of text that is no JSON it may be falsely sure.
    """
    tokens, edges = _tokens(work, bounds)
    byte = work[tokens]
    quote = byte == ord('"')
    opens = np.cumsum(quote, dtype=np.uint8) & 1
    parity = np.concatenate((np.zeros(1, np.uint8), opens))[edges]
    braced = (work[bounds[:-1]] == ord("{")) & (work[bounds[1:] - 1] == ord("}"))
    good = braced & (edges[1:] > edges[:-1]) & (parity[1:] == parity[:-1])
    if not good.all():
        return _unwrap_only(good, work, bounds, base64_layers=base64_layers)

    outside = quote | (opens == 0)
    if not outside.all():
        edges = np.concatenate(([0], np.cumsum(outside)))[edges]
        tokens, byte, opens = tokens[outside], byte[outside], opens[outside]
    depth = np.cumsum(_DELTA.take(byte), dtype=np.int32)
    last = edges[1:] - 1
    good = np.diff(depth[last], prepend=0) == 0
    if not good.all():
        return _unwrap_only(good, work, bounds, base64_layers=base64_layers)

    kind = _CLASS.take(byte) + ((depth & 1) << 1).astype(np.uint8) + opens
    bad = _misplaced(work, tokens, kind)
    bad |= depth == 0  # the only way back to depth 0 is the end
    bad[last] = False
    return _cut(work, bounds, tokens, kind, edges, bad, twice=base64_layers == 2)


def _unwrap_only(good: Numbers, work: Numbers, bounds: Numbers, *, base64_layers: int) -> tuple[Numbers, Numbers]:
    """Leave out values that upset the counting for those after them."""
    lengths = np.full(len(good), -1, np.int64)
    if not good.any():
        return np.zeros(0, np.uint8), lengths
    sizes = np.diff(bounds)
    kept = work[: bounds[-1]][np.repeat(good, sizes)]
    inner = np.concatenate(([0], np.cumsum(sizes[good])))
    padded = np.concatenate((kept, np.zeros(PADDING, np.uint8)))
    text, lengths[good] = unwrap(padded, inner, base64_layers=base64_layers)
    return text, lengths


def _tokens(work: Numbers, bounds: Numbers) -> tuple[Numbers, Numbers]:
    """Where unescaped quotes, braces and brackets are; and which is the first of each value."""
    structural = work == ord('"')
    folded = work | 0x20  # brackets become braces
    structural |= folded == ord("{")
    structural |= folded == ord("}")
    slashes = np.flatnonzero(work == ord("\\"))
    if slashes.size:
        # A run of backslashes escapes what follows it if their number is odd.
        ends = np.flatnonzero(np.diff(slashes, append=-1) != 1)
        odd = np.diff(ends, prepend=-1) & 1 == 1
        structural[slashes[ends[odd]] + 1] = False
    tokens = np.flatnonzero(structural)
    return tokens, np.searchsorted(tokens, bounds)


def _misplaced(work: Numbers, tokens: Numbers, kind: Numbers) -> Numbers:
    """Which tokens are followed by one that, in typed JSON, cannot stand there."""
    expected = _DISTANCE.take(kind[:-1] * np.uint16(_KINDS) + kind[1:])
    bad = np.zeros(len(kind), np.bool_)
    bad[:-1] = (expected != 0) & (expected != np.diff(tokens))
    # In valid JSON, only a bare string in a list can stand where a key should be: no colon follows it.
    keys = np.flatnonzero(kind == _KEY_END)
    bad[keys[work[tokens[keys] + 1] != ord(":")]] = True
    return bad


def _cut(
    work: Numbers,
    bounds: Numbers,
    tokens: Numbers,
    kind: Numbers,
    edges: Numbers,
    bad: Numbers,
    *,
    twice: bool,
) -> tuple[Numbers, Numbers]:
    """Check each wrapper, cut it out, and leave out the values with bad tokens."""
    unwraps = tokens[kind == _UNWRAP]
    wraps = np.flatnonzero(kind == _WRAP)
    kind = np.concatenate((kind, np.zeros(5, np.uint8)))
    tokens = np.concatenate((tokens, np.full(5, tokens[-1])))
    at = tokens[wraps]
    tag = work[at + 2]
    third = kind[wraps + 3]
    sure = (tokens[wraps + 2] - at == 3) & (third == _PAYLOAD[tag])
    sure &= (third != _INNER) | ((kind[wraps + 5] == _UNWRAP) & (tokens[wraps + 5] - tokens[wraps + 4] == 1))
    if twice:
        sure &= tag != ord("B")

    unsure = wraps[~sure]
    literal, null = _literals(work, tokens, kind, unsure)
    bad[unsure[~literal]] = True
    literals, nulls = unsure[literal], tokens[unsure[null]]
    for place, letter in enumerate(b"null"):
        work[nulls + 8 + place] = letter

    numbers = wraps[sure & (tag == ord("N"))]
    bad[numbers[~_are_numbers(work, tokens[numbers + 3] + 1)]] = True

    keep = np.ones(len(work), np.bool_)
    keep[unwraps] = False
    for place in range(5):  # {"S":
        keep[at + place] = False
    for place in range(5, 8):  # {"BOOL": {"NULL":
        keep[tokens[literals] + place] = False
    keep[tokens[numbers + 3]] = False
    keep[tokens[numbers + 4]] = False

    cut = np.zeros(len(bad), np.int64)
    cut[wraps] = 6
    cut[literals] = 9
    cut[numbers] = 8
    sizes = np.diff(bounds)
    lengths = sizes - np.add.reduceat(cut, edges[:-1])
    if bad.any():
        left = np.searchsorted(bounds, tokens[: len(bad)][bad], side="right") - 1
        lengths[left] = -1
        keep[: bounds[-1]] &= np.repeat(lengths >= 0, sizes)
    keep[bounds[-1] :] = False
    return work[keep], lengths


def _literals(work: Numbers, tokens: Numbers, kind: Numbers, wraps: Numbers) -> tuple[Numbers, Numbers]:
    """Which of the wrappers are `{"BOOL":true}`, `{"BOOL":false}` or `{"NULL":true}`, and which the last."""
    at = tokens[wraps]
    tags = np.stack([work[at + place] for place in (2, 3, 4, 5)])
    boolean = (tags == np.frombuffer(b"BOOL", np.uint8)[:, None]).all(axis=0)
    null = (tags == np.frombuffer(b"NULL", np.uint8)[:, None]).all(axis=0)
    size = tokens[wraps + 3] - at
    first = work[at + 8]
    true = (first == ord("t")) & (size == 12)
    false = (first == ord("f")) & (size == 13)
    alone = (tokens[wraps + 2] - at == 6) & (kind[wraps + 3] == _UNWRAP)
    null &= alone & true
    return null | (boolean & alone & (true | false)), null


def _are_numbers(work: Numbers, starts: Numbers) -> Numbers:
    """Whether a JSON number of moderate size stands at each start, up to a quote."""
    result = np.zeros(len(starts), np.bool_)
    going = np.arange(len(starts))
    at = starts
    state = np.full(len(starts), _NUMBER_START, np.uint8)
    for _ in range(_LONGEST_NUMBER):
        if not len(going):
            break
        state = _NUMBER_STEP[state * np.uint8(8) + _NUMBER_CLASS[work[at]]]
        result[going[state == 1]] = True
        further = state > 1
        going, at, state = going[further], at[further] + 1, state[further]
    return result

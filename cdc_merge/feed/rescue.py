"""What the columns of a row could not hold, as JSON text."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cdc_merge.feed.typed import attributes_of, canonical_order, single_base64

_NULL = b'{"NULL":true}'
_NUL = "\\u0000"
_ESCAPES = re.compile(r"\\\\|\\u0000")  # a backslash that is one itself hides what follows it


def rescue(
    images: pa.Array | pa.ChunkedArray,
    *,
    held: frozenset[str],
    touched: frozenset[str] = frozenset(),
    failed: pa.ListArray | pa.ChunkedArray | None = None,
    hidden: frozenset[str] = frozenset(),
    base64_layers: int = 1,
) -> pa.StringArray:
    """For each image the JSON object of the attributes its columns do not hold; NULL if they hold all.

    `images`: JSON text, `{"attribute":{"S":"x"},…}`. `held`: attributes that have a column. `touched`: those of which
    columns take a part at least. `failed`: for each image, the attributes in `held` whose value the column could not
    take. `hidden`: attributes that a mask keeps from being rescued in any case. Of all these, one of type NULL needs no
    rescue: it is the columns' NULL. Typed values stay exactly as given, in order of the attributes' names, the keys of
    maps and the elements of sets in a fixed order, too; B and BS come down to one layer of base64. An image that is no
    JSON object gives NULL.
    """
    fitting = failed.to_pylist() if failed is not None else [None] * len(images)
    rows = zip(images.to_pylist(), fitting, strict=True)
    left = [_left_over(image, held, touched, names or (), hidden, base64_layers) for image, names in rows]
    return pa.array(left, pa.string())


def as_six_characters(rescued: pa.StringArray) -> pa.StringArray:
    """The same with U+0000 as the text `\\u0000`, for an engine whose JSON cannot hold it."""
    if not pc.any(pc.match_substring(rescued, _NUL)).as_py():
        return rescued
    return pa.array([t and _ESCAPES.sub(_spelled_out, t) for t in rescued.to_pylist()], pa.string())


def _spelled_out(escape: re.Match[str]) -> str:
    return f"\\{escape[0]}" if escape[0] == _NUL else escape[0]


def _left_over(
    image: str | None,
    held: frozenset[str],
    touched: frozenset[str],
    failed: Iterable[str],
    hidden: frozenset[str],
    base64_layers: int,
) -> str | None:
    attributes = attributes_of(image)
    failed = attributes.keys() & set(failed)
    left = ((attributes.keys() - held) | failed) - hidden
    left -= {name for name in left & (touched | failed) if _without_spaces(attributes[name]) == _NULL}
    if not left:
        return None
    return f"{{{','.join(f'{_json(name)}:{_value(attributes[name], base64_layers)}' for name in sorted(left))}}}"


def _value(typed: bytes, base64_layers: int) -> str:
    text = typed.decode()
    return canonical_order(single_base64(text) if base64_layers == 2 else text)


def _json(name: str) -> str:
    return msgspec.json.encode(name).decode()


def _without_spaces(value: bytes) -> bytes:
    return b"".join(value.split())

"""Typed DynamoDB JSON, a column at a time: made plain, its numbers made plain, its attributes counted."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cdc_merge.feed.typed import MAX_NUMBER_LENGTH, attributes_of, plain_number, plain_value
from cdc_merge.feed.unwrap import PADDING, unwrap
from cdc_merge.native.plain import plain as native_plain

# Bytes handled at once: the scratch arrays stay in the processor's cache, their pages with the allocator.
_SLICE_BYTES = 256 * 1024

MALFORMED = "?"
"""Stands for the tag of what is no typed value."""

_TAG = re.compile(rb'\s*\{\s*"([A-Z]+)"')
# Images counted together: enough to work in columns, few enough to hold their attributes as Python objects.
_IMAGES_AT_ONCE = 4_096

# Decimal notation with nothing to mend. `-0` is not: it is 0.
_PLAIN_NUMBER = r"^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)\.[0-9]*[1-9])$"


def plain_json(values: pa.Array | pa.ChunkedArray, *, base64_layers: int = 1) -> pa.Array:
    """Typed DynamoDB JSON text to plain JSON text; NULL where the text is no typed value.

    `values`: JSON without spaces between tokens, as DuckDB writes it. With spaces it is slower; text that is
    not JSON at all gives NULL or nonsense, never an error. Strings, and the order of a map's keys, stay as
    they came; N keeps its digits (`1.50`, `1E+125`); B is base64 text of one layer; sets are sorted: SS by
    UTF-8 bytes, NS by value, BS by their bytes. `base64_layers`: 2 for a Kinesis feed, whose B are encoded
    twice. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html
    """
    array = _one_array(values)
    plain = native_plain(array, twice=base64_layers == 2) if array.type == pa.string() else None
    if plain is None:
        plain = _by_columns(array, base64_layers)
    unsure = pc.and_(array.is_valid(), plain.is_null())
    if not pc.any(unsure).as_py():
        return plain
    texts = array.filter(unsure).to_pylist()
    mended = [plain_value(text, base64_layers=base64_layers) for text in texts]
    return pc.replace_with_mask(plain, unsure, pa.array(mended, array.type))


def _by_columns(array: pa.Array, base64_layers: int) -> pa.Array:
    """The plain texts, NULL where `unwrap` is not sure of one."""
    count = len(array)
    present = array.drop_null()
    ends, data = _text(present)
    out = np.empty(int(ends[-1] - ends[0]), np.uint8)
    sizes = np.empty(len(present), np.int64)
    first = used = 0
    while first < len(present):
        last = int(np.searchsorted(ends, ends[first] + _SLICE_BYTES, side="right")) - 1
        last = max(first + 1, last)
        bounds = (ends[first : last + 1] - ends[first]).astype(np.int64)
        work = np.zeros(bounds[-1] + PADDING, np.uint8)
        work[: bounds[-1]] = data[ends[first] : ends[last]]
        text, sizes[first:last] = unwrap(work, bounds, base64_layers=base64_layers)
        out[used : used + len(text)] = text
        used += len(text)
        first = last

    lengths = np.full(count, -1, np.int64)
    lengths[array.is_valid().to_numpy(zero_copy_only=False)] = sizes
    offsets = np.zeros(count + 1, ends.dtype)
    np.cumsum(np.maximum(lengths, 0), out=offsets[1:])
    validity = pa.py_buffer(np.packbits(lengths >= 0, bitorder="little"))
    return pa.Array.from_buffers(array.type, count, [validity, pa.py_buffer(offsets), pa.py_buffer(out[:used])])


def plain_numbers(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The texts of N in decimal notation: no exponent, no needless zero, no `+`, no `-0`; exact.

    NULL for what is no number, is longer than 1,000 characters or has an exponent beyond ±400, which no N
    of DynamoDB has (38 digits, 1E-130 to 9.9…E+125).
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
    """
    array = _one_array(values)
    plain = pc.match_substring_regex(array, _PLAIN_NUMBER)
    plain = pc.and_(plain, pc.less_equal(pc.binary_length(array), MAX_NUMBER_LENGTH))
    odd = pc.invert(pc.fill_null(plain, True))
    if not pc.any(odd).as_py():
        return array
    mended = [plain_number(text) for text in array.filter(odd).to_pylist()]
    return pc.replace_with_mask(array, odd, pa.array(mended, array.type))


def attributes_seen(images: pa.Array | pa.ChunkedArray) -> dict[tuple[str, str], int]:
    """How many of the images have an attribute with a type tag: `{("Price", "N"): 12}`.

    A value that is no typed value, so that plain_json gives NULL for it, counts under MALFORMED.
    """
    seen: Counter[tuple[str, str]] = Counter()
    for first in range(0, len(images), _IMAGES_AT_ONCE):
        names: list[str] = []
        values: list[bytes] = []
        for image in images.slice(first, _IMAGES_AT_ONCE).to_pylist():
            attributes = attributes_of(image)
            names += attributes
            values += attributes.values()
        if values:
            sound = plain_json(pa.array(values, pa.large_string())).is_valid().to_pylist()
            seen.update(zip(names, map(_tag, values, sound), strict=True))
    return dict(seen)


def _tag(value: bytes, is_sound: bool) -> str:
    found = _TAG.match(value) if is_sound else None
    return found[1].decode() if found else MALFORMED


def _one_array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array of string, or of large_string if the values came so or are too long together."""
    is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    if not is_text or values.nbytes > np.iinfo(np.int32).max:
        values = values.cast(pa.large_string())
    if isinstance(values, pa.ChunkedArray):
        return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    return values


def _text(array: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Where each text begins, and the end of the last; and the bytes."""
    width = np.dtype(np.int64 if pa.types.is_large_string(array.type) else np.int32)
    if len(array) == 0:
        return np.zeros(1, width), np.zeros(0, np.uint8)
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, width, len(array) + 1, array.offset * width.itemsize)
    return ends, np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)

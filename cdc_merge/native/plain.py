"""Typed DynamoDB values made plain, many at once."""

from __future__ import annotations

import ctypes

import pyarrow as pa
import pyarrow.compute as pc

from cdc_merge.native.library import Lent, NativeFailed, TextsView, library, log, texts


def plain(values: pa.StringArray, *, twice: bool) -> pa.StringArray | None:
    """The plain JSON of typed values; NULL where it is not sure of it, or there is none.

    `twice`: B is base64 of base64. None where the native program is not there, or has failed.
    """
    loaded = library()
    if loaded is None:
        return None
    _, offsets, data = values.buffers()
    handle = loaded.plain_make(
        data.address if data else None,
        data.size if data else 0,
        offsets.address + values.offset * 4 if len(values) else None,
        len(values),
        twice,
    )
    if not handle:
        log.warning("native_failed", error=str(NativeFailed()))
        return None
    view = TextsView()
    loaded.plain_texts(handle, ctypes.byref(view))
    found = texts(view, len(values), Lent(loaded, handle, "plain_free"))
    return pc.if_else(values.is_valid(), found, None) if values.null_count else found

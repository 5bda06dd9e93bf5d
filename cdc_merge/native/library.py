"""The native program as a library: whether it is there, and what can be called."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc_merge.errors import Transient
from cdc_merge.logs import get_logger

log = get_logger("cdc_merge.native")

SWITCH = "CDC_MERGE_NATIVE"
"""The environment variable that switches it off, where it is `0`."""

_VERSION = 3
_LIBRARY = Path(__file__).with_name("_native" + {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so"))

Integers = npt.NDArray[np.int32]


class NativeFailed(Transient):
    """A mistake in the native program. From then on this process does without it, so that its next try goes well."""

    def __init__(self) -> None:
        global _has_failed
        _has_failed = True
        super().__init__(
            "the native program failed",
            hint=f"DuckDB does its work from now on, slower; a command that ends here does well with {SWITCH}=0 in the "
            "environment. Please report what was printed before this",
        )


_has_failed = False


class Lent:
    """Something of the library's, which is there as long as an array looks into it. `free`: gives it back."""

    def __init__(self, library: Any, handle: int, free: str) -> None:
        self.library = library
        self.handle = handle
        self._free = getattr(library, free)

    def __del__(self) -> None:
        self._free(self.handle)


class TextsView(ctypes.Structure):
    """Texts of some rows, as Arrow lays them out."""

    _fields_ = (
        ("offsets", ctypes.c_void_p),
        ("bytes", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("validity", ctypes.c_void_p),
        ("nulls", ctypes.c_size_t),
    )


class FoundView(ctypes.Structure):
    """What a look says of rows besides their texts."""

    _fields_ = (
        ("widths", ctypes.c_void_p),
        ("rows", ctypes.c_size_t),
        ("unsure", ctypes.c_void_p),
        ("unsure_rows", ctypes.c_size_t),
    )


class LinesView(ctypes.Structure):
    """Where lines lie."""

    _fields_ = (
        ("chunk", ctypes.c_int32),
        ("rows", ctypes.c_void_p),
        ("objects", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
    )


class GivenTexts(ctypes.Structure):
    """Texts that are handed over."""

    _fields_ = (("offsets", ctypes.c_void_p), ("bytes", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Measures(ctypes.Structure):
    """How much a store of changes holds."""

    _fields_ = tuple((name, ctypes.c_int64) for name in ("changes", "given", "keys", "bytes"))


class ChangesView(ctypes.Structure):
    """Columns of some changes."""

    _fields_ = (
        ("texts", TextsView * 3),
        ("chunks", ctypes.c_void_p),
        ("idxs", ctypes.c_void_p),
        ("objects", ctypes.c_void_p),
        ("numbers", ctypes.c_void_p),
        ("rows", ctypes.c_size_t),
    )


class AddedView(ctypes.Structure):
    """Rows of a look whose changes are the newest of their keys so far, and the numbers of these."""

    _fields_ = (("rows", ctypes.c_void_p), ("numbers", ctypes.c_void_p), ("count", ctypes.c_size_t))


def is_there() -> bool:
    """Whether the native program is used."""
    return library() is not None


def library() -> Any | None:
    """What native/src/calls.rs has; None where it was not built, is switched off, or has failed."""
    return None if _has_failed or os.environ.get(SWITCH) == "0" else _load()


@cache
def _load() -> Any | None:
    if not _LIBRARY.exists():
        return None
    try:
        loaded: Any = ctypes.CDLL(str(_LIBRARY))
        version = loaded.cdc_merge_native_version()
    except (OSError, AttributeError) as error:  # of another system, or none of ours
        log.warning("native_unusable", error=str(error))
        return None
    if version != _VERSION:
        log.warning("native_unusable", error=f"{_LIBRARY.name} is of another release: {version} instead of {_VERSION}")
        return None
    pointer, size, flag = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_bool
    for name, result, arguments in (
        ("looker_new", pointer, [ctypes.c_char_p, size]),
        ("looker_free", None, [pointer]),
        ("looker_find", pointer, [pointer, pointer, size, pointer, size, pointer, size, flag]),
        ("found_texts", None, [pointer, size, pointer]),
        ("found_rows", None, [pointer, pointer]),
        ("found_free", None, [pointer]),
        ("ends_find", pointer, [pointer, size, flag, pointer]),
        ("ends_take", None, [pointer, pointer]),
        ("plain_make", pointer, [pointer, size, pointer, size, flag]),
        ("plain_texts", None, [pointer, pointer]),
        ("plain_free", None, [pointer]),
        ("changes_new", pointer, []),
        ("changes_free", None, [pointer]),
        ("changes_add_records", pointer, [pointer, pointer, flag, pointer]),
        ("added_view", None, [pointer, pointer]),
        ("added_free", None, [pointer]),
        ("changes_add_texts", flag, [pointer, pointer, pointer]),
        ("changes_forget", flag, [pointer, pointer, size]),
        ("changes_measure", Measures, [pointer]),
        ("changes_settle", ctypes.c_int64, [pointer]),
        ("changes_rows", pointer, [pointer, flag, size, size]),
        ("changes_count", flag, [pointer, size, pointer]),
        ("rows_view", None, [pointer, pointer]),
        ("rows_free", None, [pointer]),
    ):
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def buffer(address: int | None, size: int, owner: object) -> pa.Buffer:
    """Memory of the library's, which is there as long as `owner` is."""
    if not size or not address:
        return pa.py_buffer(b"")
    return pa.foreign_buffer(address, size, base=owner)


def texts(view: TextsView, rows: int, owner: object) -> pa.StringArray:
    """Texts of the library's, not copied."""
    validity = buffer(view.validity, (rows + 7) // 8, owner) if view.nulls else None
    offsets, data = buffer(view.offsets, (rows + 1) * 4, owner), buffer(view.bytes, view.length, owner)
    return pa.StringArray.from_buffers(rows, offsets, data, validity, view.nulls)


def integers(address: int | None, rows: int, owner: object) -> Integers:
    """Numbers of the library's, not copied."""
    return np.frombuffer(buffer(address, rows * 4, owner), np.int32)

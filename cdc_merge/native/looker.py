"""The texts at JSON pointers of many lines at once."""

from __future__ import annotations

import ctypes
import struct
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cdc_merge.native.library import FoundView, Integers, NativeFailed, TextsView, integers, library, texts


class Found:
    """What was found in some lines, a row for each. The library's memory, as long as an array looks into it."""

    def __init__(self, looker: Looker, handle: int) -> None:
        self.handle = handle
        self._looker = looker

    def __del__(self) -> None:
        self._looker.library.found_free(self.handle)  # for the next look, if there is one

    def _view(self) -> FoundView:
        view = FoundView()
        self._looker.library.found_rows(self.handle, ctypes.byref(view))
        return view

    @property
    def unsure(self) -> Integers:
        """The rows that DuckDB has to look at, whose texts are NULL here."""
        view = self._view()
        return integers(view.unsure, view.unsure_rows, self).copy()

    @property
    def widths(self) -> pa.Int32Array:
        """How many members the counted object has, 0 for another value, NULL for none."""
        view = self._view()
        widths = integers(view.widths, view.rows, self)
        return pa.array(widths, mask=widths < 0)

    @property
    def texts(self) -> list[pa.StringArray]:
        """Of each pointer, as DuckDB's json_extract_string has them."""
        rows, found = self._view().rows, []
        for number in range(self._looker.pointers):
            view = TextsView()
            self._looker.library.found_texts(self.handle, number, ctypes.byref(view))
            found.append(texts(view, rows, self))
        return found


class Looker:
    """A look for some JSON pointers (RFC 6901). Several threads may use it at once."""

    def __init__(self, library: Any, pointers: Sequence[str], counted: str | None) -> None:
        """`counted`: where the object lies whose members are counted."""
        self.library = library
        self.pointers = len(pointers)
        spec = _spec(pointers, counted)
        self._handle = library.looker_new(spec, len(spec))
        if not self._handle:
            raise NativeFailed
        # What was found keeps what it needs of it; at the end of the process others may be at work with it.
        weakref.finalize(self, library.looker_free, self._handle).atexit = False

    def find(self, lines: pa.StringArray, picks: Integers | None = None, *, are_text: bool = False) -> Found:
        """Look into all lines, or into those whose numbers are picked, in their order.

        `are_text`: somebody has made sure that they are UTF-8. Raises NativeFailed.
        """
        _, offsets, data = lines.buffers()
        if picks is not None:
            picks = np.ascontiguousarray(picks, np.int32)
            if len(picks) and not 0 <= picks.min() <= picks.max() < len(lines):
                raise IndexError("lines that are not there")
        handle = self.library.looker_find(
            self._handle,
            data.address if data else None,
            data.size if data else 0,
            offsets.address + lines.offset * 4,
            len(lines),
            None if picks is None else picks.ctypes.data,
            0 if picks is None else len(picks),
            are_text,
        )
        if not handle:
            raise NativeFailed
        return Found(self, handle)


def looker(pointers: Sequence[str], counted: str | None = None) -> Looker | None:
    """A look for these pointers; None where the native program is not there."""
    loaded = library()
    return Looker(loaded, pointers, counted) if loaded else None


def _spec(pointers: Sequence[str], counted: str | None) -> bytes:
    """As `Spec` in native/src/calls.rs reads it."""
    parts = [struct.pack("<I", len(pointers)), *map(_steps, pointers)]
    parts += [struct.pack("<I", 0)] if counted is None else [struct.pack("<I", 1), _steps(counted)]
    return b"".join(parts)


def _steps(pointer: str) -> bytes:
    steps = [step.replace("~1", "/").replace("~0", "~").encode() for step in pointer.split("/")[1:]]
    return struct.pack("<I", len(steps)) + b"".join(struct.pack("<I", len(step)) + step for step in steps)

"""Where records seem to end."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from cdc_merge.native.library import NativeFailed, library, log


def ends(buffer: npt.NDArray[np.uint8], *, seams: bool) -> npt.NDArray[np.int64] | None:
    """Where pieces end, exclusive: after every newline, and, if `seams`, between every `}` and a `{` that touch.

    None where the native program is not there, or has failed.
    """
    loaded = library()
    if loaded is None:
        return None
    count = ctypes.c_size_t()
    handle = loaded.ends_find(buffer.ctypes.data, len(buffer), seams, ctypes.byref(count))
    if not handle:
        log.warning("native_failed", error=str(NativeFailed()))
        return None
    found = np.empty(count.value, np.int64)
    loaded.ends_take(handle, found.ctypes.data)
    return found

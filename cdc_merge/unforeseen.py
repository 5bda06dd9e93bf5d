"""The errors that nobody thought of: what DuckDB, Arrow and Python raise for odd data, or for too little room.

Every fault that was thought of has a class of its own (errors.py); one of these must harm its own source and no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from cdc_merge.errors import BatchTooLarge, DecodingFailed, NoRoom
from cdc_merge.logs import get_logger
from cdc_merge.model import ObjectRef
from cdc_merge.shortage import ROOM, is_of_disk, no_room
from cdc_merge.warehouses.discreet import without_values

log = get_logger("cdc_merge.merger")

UNFORESEEN = (
    duckdb.Error,
    pa.ArrowException,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextmanager
def stopping_at_the_unforeseen(source: str, refs: Sequence[ObjectRef]) -> Iterator[None]:
    """Make of such an error in fetching or decoding one that stops the source, and log where it came from.

    Where there is no room for temporary files it is BatchTooLarge, as fewer objects may find some.
    """
    try:
        yield
    except NoRoom as error:
        raise BatchTooLarge(error.message, where=f"source {source}", hint=error.hint) from error
    except UNFORESEEN as error:
        if is_of_disk(error):
            raise BatchTooLarge(no_room(error), where=f"source {source}", hint=ROOM) from error
        keys = [r.key for r in refs]
        log.error("decoding_failed", source=source, objects=keys, exc_info=True)
        raise _decoding_failed(error, source, keys) from error


def _decoding_failed(error: Exception, source: str, keys: Sequence[str]) -> DecodingFailed:
    among = keys[0] if len(keys) == 1 else f"{keys[0]} … {keys[-1]} ({len(keys)} objects)"
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        hint = "raise `memory` of the source, or lower its `batch`"
    elif isinstance(error, duckdb.IOException | OSError):
        hint = "can the temporary folder be used? $TMPDIR names another"
    else:
        hint = "this is a fault of cdc-merge: please report it with the log; a smaller `batch` narrows down the object"
    return DecodingFailed(f"{type(error).__name__}: {_first_line(error)}", where=f"source {source}, {among}", hint=hint)


def _first_line(error: Exception) -> str:
    return without_values((str(error).strip() or "no message").splitlines()[0])

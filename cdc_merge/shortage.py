"""Running out: whether memory or the disk was too small, and what to do."""

from __future__ import annotations

import errno
import os

import duckdb

from cdc_merge.tmpdir import temporary_place

ROOM = "make room in the temporary folder, or let $TMPDIR name another"
ROOM_THERE = "make room there; `run` then goes on by itself"

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Of others the message may be made of values: https://duckdb.org/docs/stable/clients/python/reference/index#duckdb.DataError
_ABOUT_FILES = (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException)


def is_of_disk(error: BaseException) -> bool:
    """Whether the disk, or the user's share of it, is full.

    Of the temporary folder DuckDB takes up to nine tenths of what is free when it begins, and calls what is beyond it
    out of memory: https://duckdb.org/docs/stable/configuration/overview (`max_temp_directory_size`)
    """
    if isinstance(error, OSError):
        return error.errno in _FULL
    if isinstance(error, duckdb.OutOfMemoryException):
        return "failed to offload" in str(error)
    # Nothing but its message says it, in the words of the system.
    return isinstance(error, _ABOUT_FILES) and any(os.strerror(number) in str(error) for number in _FULL)


def more_than(memory: int, error: Exception) -> str:
    """The end of a sentence on what takes too much; `memory`: bytes."""
    found = f"more than the {memory:,} bytes it may use"
    return found + (f", and {temporary_place()} has no room for the rest" if is_of_disk(error) else "")


def no_room(error: Exception) -> str:
    """What is told of such an error where it is the temporary folder's disk."""
    return f"no room for temporary files in {temporary_place()}: {str(error).strip().splitlines()[0]}"


def cure(error: Exception, *, of_memory: str) -> str:
    """The hint; `of_memory`: what to do where it is memory that is short."""
    return ROOM if is_of_disk(error) else of_memory


__all__ = ["ROOM", "ROOM_THERE", "cure", "is_of_disk", "more_than", "no_room"]

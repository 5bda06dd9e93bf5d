"""What an error of DuckDB asks for: another try, or a person."""

from __future__ import annotations

import duckdb

from cdc_merge.errors import AlreadyMerged, BatchTooLarge, CdcMergeError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.shortage import ROOM_THERE, cure, is_of_disk
from cdc_merge.warehouses.discreet import without_values
from cdc_merge.warehouses.transaction import LEDGER_LABEL

# The file is locked, the transaction lost a conflict, the disk is full, someone interrupted, or the instance is
# broken until it is opened anew (FatalException): all of it may be otherwise next time.
_PASSING = (
    duckdb.TransactionException,
    duckdb.IOException,
    duckdb.FatalException,
    duckdb.ConnectionException,
    duckdb.InterruptException,
)
# Their messages quote the value: https://duckdb.org/docs/stable/clients/python/reference/index#duckdb.DataError
_ABOUT_VALUES = (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException)
# This process has the file open already, with other settings or under another name.
IN_USE = (duckdb.ConnectionException, duckdb.ResourceInUseException)


def reaction(error: duckdb.Error, label: str) -> CdcMergeError:
    """What a driver's error asks for, with the statement's label as its place."""
    message = first_line(error)
    if isinstance(error, _ABOUT_VALUES):
        message = without_values(message)
    if isinstance(error, duckdb.ConstraintException) and "duplicate key" in message.lower():
        # Another transaction wrote the same key, and will be seen next time.
        return (AlreadyMerged if label == LEDGER_LABEL else WarehouseUnavailable)(message, where=label)
    if isinstance(error, duckdb.OutOfMemoryException):
        return BatchTooLarge(
            message,
            where=label,
            hint=cure(
                error, of_memory="raise `memory`, or give DuckDB more of it in the warehouse URL: ?memory_limit=1GB"
            ),
        )
    if isinstance(error, _PASSING):
        hint = ROOM_THERE if is_of_disk(error) else None
        return WarehouseUnavailable(message, where=label, hint=hint)
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        hint = "was a table or column dropped or renamed? see: cdc-merge plan"
        if "already exists" in message:  # a CatalogException says in words alone which one it is
            hint = "rename or drop what has the name, or name another table in the configuration"
        # What follows is a line of SQL, with its literals.
        return WarehouseRefused(str(error).partition("\n\nLINE ")[0].strip(), where=label, hint=hint)
    return WarehouseRefused(message, where=label)


def is_locked(error: Exception) -> bool:
    """Whether another process has the file."""
    # An IOException says in words alone whether a lock is in the way:
    # https://duckdb.org/docs/stable/connect/concurrency
    return isinstance(error, duckdb.IOException) and "lock" in str(error)


def is_broken(error: Exception) -> bool:
    """Whether a session of this process could not write to the file: when all let go of it, it can be had again."""
    return isinstance(error, duckdb.FatalException) or (
        isinstance(error, duckdb.IOException) and "has been invalidated" in str(error)
    )


def first_line(error: Exception) -> str:
    """Its message, or its name where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


__all__ = ["IN_USE", "first_line", "is_broken", "is_locked", "reaction"]

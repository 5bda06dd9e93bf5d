"""What an error of Redshift asks for, whatever the road it came by: another try, or a person."""

from __future__ import annotations

import re

from cdc_merge.errors import CdcMergeError, WarehouseRefused, WarehouseUnavailable

# What time may cure, by the codes of Postgres where Redshift has them, and by words where it has none of its own:
# serializable isolation (1023), a deadlock, a conflict with another transaction, a cluster that resizes or restarts.
# https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation-serializable-isolation-troubleshooting.html
# https://docs.aws.amazon.com/redshift/latest/dg/c_write_readwrite.html
_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
_CATALOG_CONFLICT = "23505"  # only the catalog enforces keys: another worker makes the same schema or table
_PASSING_WORDS = re.compile(
    r"\b1023\b|serializable isolation violation|deadlock detected|concurrent transaction|could not serialize"
    r"|table lock|SlowDown|Service Unavailable|InternalError",
    re.IGNORECASE,
)
_LOAD_FAILED = re.compile(r"load_error|Spectrum|S3ServiceException|COPY|manifest", re.IGNORECASE)
_HINTS = {
    "42501": "GRANT the worker's user what the statement needs; see: cdc-merge check",
    "42P01": "was the table dropped or renamed? see: cdc-merge plan; metadata: cdc-merge migrate",
    "42703": "was the column dropped or renamed? see: cdc-merge plan",
    "3F000": "was the schema dropped or renamed? see: cdc-merge plan; metadata: cdc-merge migrate",
}
COPY_HINT = (
    "may the IAM role read the objects, and is the bucket in the cluster's region? "
    "SELECT * FROM sys_load_error_detail ORDER BY start_time DESC tells more"
)


def reaction(code: str, message: str, label: str, *, said: str) -> CdcMergeError:
    """What an error asks for, with the statement's label as its place.

    `code`: its SQLSTATE, empty where there is none. `message`: for people, without values of rows. `said`: all of it.
    """
    if code[:2] in _PASSING_CLASSES or code == _CATALOG_CONFLICT or _PASSING_WORDS.search(said):
        return WarehouseUnavailable(message, where=label)
    hint = _HINTS.get(code)
    if hint is None and label.startswith("load ") and _LOAD_FAILED.search(said):
        hint = COPY_HINT
    return WarehouseRefused(message, where=label, hint=hint)


__all__ = ["COPY_HINT", "reaction"]

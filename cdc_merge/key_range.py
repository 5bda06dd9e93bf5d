"""The range of a batch's keys: where a table is sorted or indexed by the key, nothing outside of it need be read."""

from __future__ import annotations

import duckdb

from cdc_merge.feed.workbench import Workbench
from cdc_merge.merge.planned import KeyRange
from cdc_merge.render import Sql

# Where blanks at a text's end do not count, no page says how one compares that goes on with less than a blank.
_LESS_THAN_A_BLANK = r"[\x01-\x1f]"


def key_range(workbench: Workbench, tag: str, *, decimal: str | None, is_utf8: bool = True) -> KeyRange | None:
    """From the least to the greatest staged partition key; None: there is none, or their order is in doubt.

    `tag`: the key's DynamoDB type; `decimal`: the type of numbers that the engine compares; None: one that takes them
    all, as none of DuckDB's does, so that numbers have no range. `is_utf8`: whether the engine keeps texts in UTF-8; in
    other encodings bytes are in another order, but for those of ASCII.
    """
    if tag == "S":
        is_doubtful, value = f"regexp_matches(partition_key, '{_LESS_THAN_A_BLANK}')", "partition_key"
    elif tag == "N" and decimal:
        value = f"TRY_CAST(partition_key AS {decimal})"
        is_doubtful = f"{value} IS NULL"
    else:
        return None
    try:
        low, high, doubts = workbench.rows(
            f"SELECT CAST(min({value}) AS VARCHAR), CAST(max({value}) AS VARCHAR), count(*) FILTER ({is_doubtful}) "
            "FROM stage_keys"
        )[0]
    except duckdb.Error:  # out of memory, most likely: a batch can do without a range
        return None
    if doubts or low is None or not (is_utf8 or (low + high).isascii()):
        return None
    return KeyRange(low, high) if tag == "S" else KeyRange(Sql(low), Sql(high))


__all__ = ["key_range"]

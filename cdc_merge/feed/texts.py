"""The texts at JSON pointers of many lines: by the native program where it is there and sure, else by DuckDB."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc_merge.feed import shape
from cdc_merge.feed.chunks import FULL_VECTOR, table_of
from cdc_merge.feed.workbench import Bench
from cdc_merge.logs import get_logger
from cdc_merge.native import NativeFailed, is_there
from cdc_merge.native.looker import Found, Looker, looker
from cdc_merge.render import Sql

log = get_logger("cdc_merge.feed")

_KEPT = 2  # looks, of which the older one is for threads that have begun with it

_Key = tuple[tuple[str, ...], str | None]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Rows:
    """Lines to look into, and what goes along with each.

    `lines`: all of the portion. `source`: those to look into as a FROM clause, with the line as `l.line` and its number
    as `l.idx`. `columns`: what goes along, as SQL, the number among them; `given`: the same as an Arrow table.
    `vector`: how many rows DuckDB is to work on at once. `are_text`: the lines are known to be UTF-8.
    """

    lines: pa.StringArray
    source: str
    columns: str
    given: pa.Table
    vector: int = FULL_VECTOR
    are_text: bool = False


class Texts:
    """Looks into lines. One for each pass over a batch: it keeps the memory of a look for the next one."""

    def __init__(self) -> None:
        self._lookers: dict[_Key, Looker | None] = {}
        self._making = threading.Lock()

    def looker(self, pointers: shape.Pointers, counted: str | None = None) -> Looker | None:
        """The native program's look for these pointers, the same one each time; None: it is not there."""
        if not is_there():  # any more
            return None
        key = pointers.places, counted
        with self._making:
            if key not in self._lookers:
                # Pointers grow with the columns, and each look has memory of its own.
                for old in list(self._lookers)[: 1 - _KEPT]:
                    del self._lookers[old]
                self._lookers[key] = looker(*key)
            return self._lookers[key]

    def find(
        self,
        pointers: shape.Pointers,
        lines: pa.StringArray,
        picks: Numbers | None,
        *,
        counted: str | None = None,
        are_text: bool = False,
    ) -> Found | None:
        """What the native program finds at these pointers; None where it is not there, or has failed."""
        try:
            looker = self.looker(pointers, counted)
            return looker.find(lines, picks, are_text=are_text) if looker else None
        except NativeFailed as error:
            log.warning("native_failed", error=str(error))
            return None

    @contextmanager
    def looked(
        self, bench: Bench, rows: Rows, pointers: shape.Pointers, *, counted: str | None = None
    ) -> Iterator[Sql]:
        """Inside, the rows as a FROM clause: what goes along, the texts `v`, as the pointers name them, and `width`.

        `counted`: where the object lies whose members `width` counts; there is none otherwise.
        """
        by_duckdb = _by_duckdb(rows, pointers, counted)
        given = rows.given
        picks = given.column("idx").to_numpy()
        found = self.find(pointers, rows.lines, picks, counted=counted, are_text=rows.are_text)
        if found is None or 2 * len(found.unsure) > len(given):
            yield Sql(f"({by_duckdb})")
            return
        unsure = found.unsure
        columns = dict(zip(given.column_names, given.columns, strict=True))
        # Without names it is DuckDB's TUPLE, whose fields are v[1], v[2], … as a list's are.
        columns["v"] = pa.StructArray.from_arrays(found.texts, names=[""] * len(pointers.places))
        if counted is not None:
            columns["width"] = found.widths
        looked = pa.table(columns)
        if not len(unsure):
            with bench.naming(looked=table_of(looked, rows=rows.vector)):
                yield Sql("looked")
            return
        is_sure = np.ones(len(given), np.bool_)
        is_sure[unsure] = False
        left = pa.table({"idx": given.column("idx").take(pa.array(unsure))})
        as_tuple = f"row({', '.join(f'v[{i + 1}]' for i in range(len(pointers.places)))})"
        with bench.naming(looked=table_of(looked.filter(pa.array(is_sure)), rows=rows.vector), unsure=left):
            yield Sql(
                f"(FROM looked UNION ALL BY NAME SELECT * REPLACE ({as_tuple} AS v) FROM ("
                f"{by_duckdb} WHERE l.idx IN (SELECT idx FROM unsure)))"
            )


def _by_duckdb(rows: Rows, pointers: shape.Pointers, counted: str | None) -> str:
    width = "" if counted is None else f", len(json_keys(l.line, {shape.literal(counted)})) AS width"
    return f"SELECT {rows.columns}, json_extract_string(l.line, {pointers.as_list()}) AS v{width} FROM {rows.source}"

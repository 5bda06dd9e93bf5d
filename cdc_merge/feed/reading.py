"""Reads the lines of a batch again, but only those that a table names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from cdc_merge.feed.chunks import FULL_VECTOR, table_of
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.portions import Portion, Portions
from cdc_merge.feed.rejects import Reject, Rejects
from cdc_merge.feed.workbench import Bench, Workbench

DOOMED = "CREATE TABLE IF NOT EXISTS doomed (chunk INTEGER, idx INTEGER, reason VARCHAR, detail VARCHAR)"


ITEM_BYTES = 2**21
"""Of exported items, which are read whole: parsed and cut into columns they take many times as much."""


def vector_rows(lines: pa.StringArray, vector_bytes: int) -> int:
    """How many lines have about so many bytes, at most as many as DuckDB works on at once."""
    return max(1, min(FULL_VECTOR, vector_bytes * len(lines) // max(1, int(lines.nbytes))))


def numbered(portion: Portion, *, vector_bytes: int | None = None) -> pa.Table:
    """The lines of a portion and their places in it. `vector_bytes`: of lines that DuckDB parses at once, about."""
    lines = portion.lines()
    rows = FULL_VECTOR if vector_bytes is None else vector_rows(lines, vector_bytes)
    return table_of({"line": lines, "idx": pa.array(np.arange(len(lines), dtype=np.int32))}, rows=rows)


def choose(bench: Bench, portion: Portion, choice: str, columns: str = "n, idx") -> None:
    """Make `chosen` of the portion's lines that the table `choice` (n, chunk, idx) names."""
    bench.execute(
        f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT {columns} FROM {choice} WHERE chunk = {portion.number}"
    )


class Rereading:
    """The portions of a batch, once more. Lines that `doomed` (chunk, idx, reason, detail) names become rejects."""

    def __init__(self, workbench: Workbench, crew: Crew, portions: Portions, rejects: Rejects) -> None:
        self._workbench = workbench
        self._crew = crew
        self._portions = portions
        self._rejects = rejects
        workbench.execute(DOOMED)

    def read(self, choice: str, work_on: Callable[[Bench, Portion], None], *, columns: str = "n, idx") -> None:
        """Do the work with the lines that `choice` (n, chunk, idx) names: they are in `chosen` and `lines` then."""
        wanted = {
            c
            for (c,) in self._workbench.rows(
                f"SELECT DISTINCT chunk FROM {choice} UNION SELECT DISTINCT chunk FROM doomed"
            )
        }
        if not wanted:
            return

        def work(bench: Bench, portion: Portion) -> None:
            if portion.number in wanted:
                self._reject_doomed(bench, portion)
                choose(bench, portion, choice, columns)
                with bench.naming(lines=numbered(portion)):
                    work_on(bench, portion)

        self._crew.work(self._portions.read_fast(), work)
        self._crew.work(self._portions.read_exact(), work)
        self._workbench.execute("DELETE FROM doomed")

    def _reject_doomed(self, bench: Bench, portion: Portion) -> None:
        for line, reason, detail in bench.rows(
            f"SELECT idx, reason, detail FROM doomed WHERE chunk = {portion.number}"
        ):
            number, record, offset = portion.place(line)
            self._rejects.add(Reject(number, record, offset, reason, detail, portion.raw(line)))

"""Tables of the workbench that are filled a portion at a time, from several threads."""

from __future__ import annotations

import threading

from cdc_merge.feed.workbench import Bench, Workbench

# A column of a part takes some 4 KB, however few its rows are, which is dear with many targets of many columns.
FEW_ROWS = 512
_FEW_PARTS = 4  # of few rows, before they become one


class Parts:
    """A table in parts: each portion makes a table of its own, and a view named as the whole has them all.

    DuckDB sets down what a small INSERT brings in rows of the transaction first, then once more in the table, and
    packs each row group that is full. CREATE TABLE … AS writes once, in a fifth of the time (decision 13).
    """

    def __init__(self, workbench: Workbench, name: str) -> None:
        self._workbench = workbench
        self._name = name
        self._noting = threading.Lock()
        self._begun = 0
        self._made: list[str] = []
        self._referred: list[str] = []
        self._small: dict[str, int] = {}  # of few rows: how many

    def add(self, bench: Bench, select: str) -> str:
        """A part of the rows of a query; returns what it is called."""
        part, _ = self._write(bench, select)
        with self._noting:  # only now: the statement fails where a line is damaged
            self._made.append(part)
        return part

    def add_unnamed(self, bench: Bench, select: str) -> None:
        """The same where nobody asks for the part again: with few rows it joins others, with none it is not kept."""
        part, rows = self._write(bench, select)
        while True:
            if rows == 0:
                bench.execute(f"DROP TABLE {part}")
                return
            with self._noting:
                if rows >= FEW_ROWS or len(self._small) + 1 < _FEW_PARTS:
                    self._made.append(part)
                    self._small |= {part: rows} if rows < FEW_ROWS else {}
                    return
                joined, self._small = [*self._small, part], {}
                self._made = [made for made in self._made if made not in joined]
            part, rows = self._write(bench, " UNION ALL BY NAME ".join(f"FROM {small}" for small in joined))
            for small in joined:
                bench.execute(f"DROP TABLE {small}")

    def refer(self, select: str) -> None:
        """A part that is a query over tables which stay: nothing is copied."""
        with self._noting:
            self._referred.append(select)

    def _write(self, bench: Bench, select: str) -> tuple[str, int]:
        part = self.new_name()
        ((rows,),) = bench.rows(f"CREATE TABLE {part} AS {select}")
        return part, int(rows)

    def new_name(self) -> str:
        """A name for a table, given once."""
        with self._noting:  # and not while the rows are written: threads do that side by side
            self._begun += 1
            return f"{self._name}__{self._begun - 1}"

    def delete(self, condition: str) -> None:
        """Delete rows of all parts that are tables."""
        for part in self._made:
            self._workbench.execute(f"DELETE FROM {part} WHERE {condition}")

    def show(self, definition: str, *, only: str = "") -> None:
        """Make the view, or make it anew. `definition`: its columns; what a part lacks is NULL in its rows.

        `only`: a join that leaves rows out.
        """
        bare = f"{self._name}__bare"
        self._workbench.execute(f"CREATE OR REPLACE TABLE {bare} ({definition})")
        # The first decides the order of columns.
        whole = " UNION ALL BY NAME ".join([*(f"FROM {part}" for part in (bare, *self._made)), *self._referred])
        self._workbench.execute(f"CREATE OR REPLACE VIEW {self._name} AS FROM ({whole}) {only}")

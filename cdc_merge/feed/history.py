"""One more pass over a batch, for targets with a history: every change of an item, not only the newest."""

from __future__ import annotations

from cdc_merge.feed.images import UNUSABLE, ImagePass
from cdc_merge.feed.workbench import Bench
from cdc_merge.render import Sql, render
from cdc_merge.warehouses.dialect import DUCKDB


class HistoryPass(ImagePass):
    """Fills `stage_events`, and `history_rows_<i>` for each target that keeps a history.

    Runs after the newest changes are staged: the keys in `latest` are known to be usable by then.
    """

    def run(self) -> None:
        """Raises SchemaConflict on `evolve: fail`."""
        self._workbench.execute(render("feed/sql/history.sql", DUCKDB))
        self.read_again("distinct_changes", lambda bench, _portion: self.stage(bench))
        self.finish()

    def _make_tables(self, could: Sql) -> None:
        self._could = could

    def _doubt(self, bench: Bench) -> None:
        """A change that cannot be used is no part of a history; whether it is rejected was settled before."""
        bench.execute(f"DELETE FROM wide WHERE {UNUSABLE}")

    def finish(self) -> None:
        """The events, when all is read."""
        super().finish()
        self._workbench.execute(render("feed/sql/stage_events.sql", DUCKDB, could=self._could))

"""The images of the newest change of each key, as typed rows for each target: in the first pass, or in a second."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pyarrow as pa

from cdc_merge.feed.changes import Changes
from cdc_merge.feed.effort import Effort
from cdc_merge.feed.envelopes import Met
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.picks import Picks
from cdc_merge.feed.portions import Portion, Portions
from cdc_merge.feed.reading import Rereading, numbered
from cdc_merge.feed.rejects import Rejects
from cdc_merge.feed.row_notices import RowNotices
from cdc_merge.feed.rows import RowStage
from cdc_merge.feed.shelf import BenchShelf
from cdc_merge.feed.strangers import stage_or_locate
from cdc_merge.feed.unusable import Doubts, refuse_keys
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.model import Source
from cdc_merge.render import render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses.dialect import DUCKDB, Dialect


class ImagePass:
    """Fills `stage_keys` and one `stage_rows_<i>` per target from the lines that `latest` names.

    Most of that is done while the first pass reads (`stage_early`): with what is the newest change of its key so far.
    Objects are read from the last one on, so it mostly stays that. A row that is outdated by a newer change is in no
    view. The rest is read again.
    """

    def __init__(
        self,
        workbench: Workbench,
        crew: Crew,
        portions: Portions,
        rejects: Rejects,
        source: Source,
        books: Sequence[SchemaBook],
        dialect: Dialect,
        *,
        notices: RowNotices | None = None,
        picks: Picks = Picks(),  # noqa: B008 - frozen
    ) -> None:
        """`notices` and `picks` as RowStage has them."""
        self._workbench = workbench
        self._source = source
        self._portions = portions
        self._rejects = rejects
        self._books = books
        self._dialect = dialect
        self._notices = notices
        self._picks = picks
        self._reading = Rereading(workbench, crew, portions, rejects)
        self._doubts = Doubts(workbench, self._reading, portions, source)
        self._shelf = BenchShelf(workbench, range(len(books)))
        self._rows: RowStage | None = None
        self._beginning = threading.Lock()
        self._effort = Effort()
        self._has_staged = False  # while the first pass read

    def _stage_of(self, facts: FeedFacts) -> RowStage:
        with self._beginning:
            if self._rows is None:
                self._rows = RowStage(
                    self._shelf,
                    self._source,
                    facts,
                    self._books,
                    self._dialect,
                    unusable=self._doubts.note,
                    notices=self._notices,
                    picks=self._picks,
                )
            return self._rows

    def stage_early(self, bench: Bench, met: Met) -> None:
        """Stage the newest of what was met, unless the books would learn from it: a change that is outdated, or of an
        object that is given up, teaches nothing.
        """
        added, portion = met.added, met.portion
        share = self._portions.share_begun(portion)
        pays = self._effort.pays(added.count, len(added.rows), outdated=met.changes.outdated, share=share)
        if not pays or not len(added.rows):
            return
        rows = self._stage_of(met.facts)
        chosen = pa.table({"n": pa.array(added.numbers), "idx": pa.array(met.lines)})
        with bench.naming(lines=numbered(portion), chosen=chosen):
            if rows.stage_known(bench, portion):
                self._has_staged = True
            else:
                self._effort.was_in_vain(len(added.rows))

    def run(self, facts: FeedFacts, changes: Changes) -> None:
        """Raises UnusableFeed when the stream carries no new images, SchemaConflict on `evolve: fail`."""
        rows = self._stage_of(facts)
        make_stage_keys(self._workbench, rows, self._picks)
        refuse_keys(self._workbench, changes, self._dialect, facts.key_tags or ())
        self._stage(rows, self._left_over(), "target")
        # A winner without a usable image gives way to the next newest: all changes of its key are looked at.
        if self._doubts.are_there():
            changes.show()
            self._doubts.settle(are_picked=bool(self._picks))
            self._stage(rows, "revised", "CAST(NULL AS INTEGER) AS target")
        self.finish()
        self._rejects.flush()

    def _left_over(self) -> str:
        """The table of lines of `latest` that were not staged while the first pass read."""
        if not self._has_staged:
            return "latest"
        self._shelf.show_facts()
        self._workbench.execute(render("feed/sql/left_over.sql", DUCKDB))
        ((has_outdated,),) = self._workbench.rows(render("feed/sql/has_outdated.sql", DUCKDB))
        if has_outdated:
            self._shelf.leave_out_outdated()
        return "left_over"

    def finish(self) -> None:
        """Give the staging tables all columns that the books have by now."""
        assert self._rows is not None
        self._rows.finish()

    def _stage(self, rows: RowStage, choice: str, target: str) -> None:
        columns = f"n, idx, {target}" if self._picks else "n, idx"
        self._reading.read(choice, lambda bench, portion: self._stage_chosen(rows, bench, portion), columns=columns)

    def _stage_chosen(self, rows: RowStage, bench: Bench, portion: Portion) -> None:
        stage_or_locate(rows, bench, portion, self._source, self._portions.object_key)


def make_stage_keys(workbench: Workbench, rows: RowStage, picks: Picks = Picks()) -> None:  # noqa: B008 - frozen
    """The view `stage_keys` over `latest` and what is staged."""
    picked = dict(picks.targets)
    workbench.execute(
        render(
            "feed/sql/stage_keys.sql",
            DUCKDB,
            targets=[i for i in rows.numbers if i not in picked],
            picks=picks.each(),
            could=rows.could_take(),
        )
    )

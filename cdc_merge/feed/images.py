"""The second pass over a batch: the images of the newest change of each key, as typed rows for each target."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_merge.feed.changes import Changes
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.notices import Notices
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.picks import Picks
from cdc_merge.feed.portions import Portion, Portions
from cdc_merge.feed.reading import Rereading
from cdc_merge.feed.rejects import Rejects
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
    """Fills `stage_keys` and one `stage_rows_<i>` per target from the lines that `latest` names."""

    def __init__(
        self,
        workbench: Workbench,
        crew: Crew,
        portions: Portions,
        rejects: Rejects,
        source: Source,
        facts: FeedFacts,
        books: Sequence[SchemaBook],
        dialect: Dialect,
        *,
        changes: Changes,
        notices: Notices | None = None,
        picks: Picks = Picks(),  # noqa: B008 - frozen
    ) -> None:
        """`notices` and `picks` as RowStage has them."""
        self._workbench = workbench
        self._source = source
        self._portions = portions
        self._rejects = rejects
        self._facts = facts
        self._dialect = dialect
        self._picks = picks
        self._reading = Rereading(workbench, crew, portions, rejects)
        self._changes = changes
        self._doubts = Doubts(workbench, self._reading, portions, source)
        shelf = BenchShelf(workbench, range(len(books)))
        self._rows = RowStage(
            shelf, source, facts, books, dialect, unusable=self._doubts.note, notices=notices, picks=picks
        )
        make_stage_keys(workbench, self._rows, picks)

    def run(self) -> None:
        """Raises UnusableFeed when the stream carries no new images, SchemaConflict on `evolve: fail`."""
        refuse_keys(self._workbench, self._changes, self._dialect, self._facts.key_tags or ())
        self._stage("latest", "target")
        # A winner without a usable image gives way to the next newest: all changes of its key are looked at.
        if self._doubts.are_there():
            self._changes.show()
            self._doubts.settle(are_picked=bool(self._picks))
            self._stage("revised", "CAST(NULL AS INTEGER) AS target")
        self.finish()
        self._rejects.flush()

    def finish(self) -> None:
        """Give the staging tables all columns that the books have by now."""
        self._rows.finish()

    def _stage(self, choice: str, target: str) -> None:
        columns = f"n, idx, {target}" if self._picks else "n, idx"

        def stage(bench: Bench, portion: Portion) -> None:
            stage_or_locate(self._rows, bench, portion, self._source, self._portions.object_key)

        self._reading.read(choice, stage, columns=columns)


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

"""Turns exported files into staged rows: each line is an item (or, in an incremental export, what became of one)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from cdc_merge.errors import Refused, SourceStopped, UnknownAttributes
from cdc_merge.feed import shape
from cdc_merge.feed.chunks import LocalObject, Unframed, Unreadable
from cdc_merge.feed.decode import decoding_threads
from cdc_merge.feed.depth import MAX_LEVELS, too_deep
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.framing import split_lines
from cdc_merge.feed.item_shelf import ItemShelf, ItemTables
from cdc_merge.feed.notices import Notices
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.portions import BUFFER_SHARE, Portion, Portions
from cdc_merge.feed.reading import ITEM_BYTES, numbered
from cdc_merge.feed.row_notices import ItemNotices
from cdc_merge.feed.rows import RowStage
from cdc_merge.feed.strangers import stage_or_locate
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.model import Source
from cdc_merge.shortage import cure, more_than

_LONGEST_FILE = 2**50  # bytes; an export is counted and its bytes are summed up, so it cannot be a bomb
_TAKE_ANOTHER = "take a new export and reconcile with that"


@dataclass(frozen=True)
class DecodedItems:
    """What was in the files. `items_of`: by file number."""

    key_tags: tuple[str, ...]
    items_of: Mapping[int, int]


def decode_items(
    workbench: Workbench,
    files: Sequence[LocalObject],
    *,
    source: Source,
    form: shape.Form,
    key_tags: tuple[str, ...] | None,
    tables: ItemTables,
    group: int = 0,
    check: Callable[[], None] = lambda: None,
    notices: Notices | None = None,
) -> DecodedItems:
    """Decode files of one export on a fresh workbench into `tables`, whose books grow by the columns it needs.

    `key_tags`: the key attributes' types as the warehouse knows them; None: the first item shows them. `group`: another
    number for other files of the export.
    Raises Refused for a file that is not what an export writes, or of a table with another key.
    """
    try:
        with tables.at_hand(workbench):
            return _ItemPass(workbench, files, source, form, key_tags, tables, group, check, notices).run()
    except duckdb.OutOfMemoryException as error:
        raise SourceStopped(
            f"decoding exported files takes {more_than(workbench.memory, error)}",
            where=f"source {source.name}",
            hint=cure(error, of_memory="raise `memory` of the source"),
        ) from error


class _ItemPass:
    def __init__(
        self,
        workbench: Workbench,
        files: Sequence[LocalObject],
        source: Source,
        form: shape.Form,
        key_tags: tuple[str, ...] | None,
        tables: ItemTables,
        group: int,
        check: Callable[[], None],
        notices: Notices | None,
    ) -> None:
        self._workbench = workbench
        self._source = source
        self._form = form
        threads = decoding_threads(workbench)
        workbench.execute(f"SET threads = {threads}")
        self._crew = Crew(workbench, size=threads)
        self._portions = Portions(
            tuple(files),
            limit=_LONGEST_FILE,
            memory=int(source.memory * BUFFER_SHARE),
            users=threads,
            check=check,
            splitter=split_lines,
        )
        self._names = {f.number: f.ref.key for f in files}
        self._items: Counter[int] = Counter()
        self._counting = threading.Lock()
        self._key_tags = key_tags or self._learn_key_tags()
        self._shelf = ItemShelf(tables, source, form, self._key_tags, group=group)
        self._rows = RowStage(
            self._shelf,
            source,
            FeedFacts(key_tags=self._key_tags, is_kinesis=False),
            tables.books,
            tables.dialect,
            unusable=None,  # an item has attributes, at least those of its key
            form=form,
            notices=ItemNotices(notices, source, tables.books, lambda: tables.keys) if notices else None,
        )

    def run(self) -> DecodedItems:
        self._crew.work(self._portions.read_fast(), self._read, other=self._refuse_file)
        self._rows.finish()
        return DecodedItems(self._key_tags, dict(self._items))

    def _learn_key_tags(self) -> tuple[str, ...]:
        events = self._portions.read_fast()
        for event in events:
            if isinstance(event, Unreadable | Unframed):
                self._refuse_file(event)
                continue
            try:
                return self._tags_in(event)
            finally:
                event.release()
                events.close()
        return tuple("S" for _ in self._source.key)  # nothing but empty files

    def _tags_in(self, portion: Portion) -> tuple[str, ...]:
        line = portion.raw(0).decode("utf-8", "replace")
        found = []
        for attribute in self._source.key:
            at = shape.literal(f"{self._form.keys}/{shape.escape(attribute)}")
            rows = self._workbench.rows(
                f"SELECT CASE WHEN json_valid(line) THEN json_keys(line, {at})[1] END "
                f"FROM (SELECT {shape.literal(line)} AS line)"
            )
            found.append(rows[0][0])
        if not all(tag in shape.KEY_TAGS for tag in found):
            raise self._refused(portion, 0, f"has no usable key {list(self._source.key)}")
        return tuple(found)

    def _refuse_file(self, event: Unreadable | Unframed) -> None:
        name = self._names[event.object_number]
        reason = str(event.error) if isinstance(event, Unreadable) else "a line longer than any item"
        raise Refused(f"the exported file cannot be read: {reason}", where=name, hint=_TAKE_ANOTHER)

    def _refused(self, portion: Portion, line: int, what: str) -> Refused:
        number, record, _ = portion.place(line)
        return Refused(
            f"line {record} {what}",
            where=self._names[number],
            hint="is this an export of the source's table? " + _TAKE_ANOTHER,
        )

    def _read(self, bench: Bench, portion: Portion) -> None:
        lines, numbers = portion.lines(), portion.object_numbers()
        try:
            lines.validate(full=True)
        except pa.ArrowInvalid as error:
            raise self._refused(portion, 0, "or one after it is not UTF-8") from error
        if deep := too_deep(lines):
            raise self._refused(portion, deep[0], f"nests more than {MAX_LEVELS:,} levels")
        with bench.naming(lines=numbered(portion, vector_bytes=ITEM_BYTES)):
            try:
                stage_or_locate(self._rows, bench, portion, self._source, self._names.__getitem__, form=self._form)
            except (duckdb.InvalidInputException, duckdb.ConstraintException, UnknownAttributes):
                self._refuse_lines(bench, portion)  # an item without the key is not the source's: that comes first
                raise
        counts = np.bincount(numbers)
        with self._counting:
            self._items.update({number: count for number, count in enumerate(counts.tolist()) if count})

    def _refuse_lines(self, bench: Bench, portion: Portion) -> None:
        """Raise Refused if a line is no JSON, or has no key."""
        broken = bench.rows("SELECT min(idx) FROM lines WHERE NOT json_valid(line)")[0][0]
        if broken is not None:
            raise self._refused(portion, broken, "is not JSON")
        pointers = shape.Pointers()
        partition_key, sort_key = (key.text for key in self._shelf.key_texts(pointers.value))
        without_key = bench.rows(
            f"SELECT min(idx) FROM (SELECT idx, json_extract_string(line, {pointers.as_list()}) AS v FROM lines) "
            f"WHERE coalesce({partition_key}, '') = '' OR {sort_key} IS NULL"
        )[0][0]
        if without_key is not None:
            what = ", ".join(f"{a} ({t})" for a, t in zip(self._source.key, self._key_tags, strict=True))
            raise self._refused(portion, without_key, f"has no key {what}")

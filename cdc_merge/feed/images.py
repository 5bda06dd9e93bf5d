"""The second pass over a batch: the images of the newest change of each key, as typed rows for each target."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cdc_merge.errors import UnusableFeed
from cdc_merge.feed import shape
from cdc_merge.feed.chunks import table_of
from cdc_merge.feed.elements import ElementStage
from cdc_merge.feed.entities import entity
from cdc_merge.feed.envelopes import FeedFacts
from cdc_merge.feed.notices import Notices, failed_attributes
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.picks import PICKED_FROM, Picks
from cdc_merge.feed.plain import attributes_seen
from cdc_merge.feed.portions import Portion, Portions
from cdc_merge.feed.rejects import Reject, Rejects
from cdc_merge.feed.rescue import rescue
from cdc_merge.feed.values import (
    Extracted,
    Values,
    part_columns,
    staged_columns,
    staged_definition,
    whole_columns,
)
from cdc_merge.feed.where import could_take, takes
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.merge.schema import SchemaBook, TypedColumn, holders
from cdc_merge.model import Column, Source
from cdc_merge.render import Sql, render
from cdc_merge.warehouses.dialect import DUCKDB, Dialect

_SAMPLE = 2_000  # rows looked at for new attributes before a whole portion is
UNUSABLE = (
    "(event_name IS NULL OR event_name NOT IN ('INSERT', 'MODIFY', 'REMOVE') "
    "OR (NOT removed AND coalesce(width, 0) = 0))"
)
_UNKNOWN_EVENT = "eventName is none of INSERT, MODIFY, REMOVE"
_NO_IMAGE = "an INSERT or MODIFY without a NewImage object"


Columns = tuple[TypedColumn, ...]


@dataclass(frozen=True)
class _TargetLayout:
    """A target in `wide`: whether it takes a row, and its columns there.

    `belongs`: whether an item is the target's, though it may have no element to be a row; None: as `takes` says.
    """

    number: int
    takes: Sql
    clean: Sql
    columns: tuple[Extracted, ...]
    belongs: Sql | None = None

    @property
    def flag(self) -> str:
        """The column that tells whether an item is the target's."""
        return f"takes_{self.number}" if self.belongs is None else f"belongs_{self.number}"


def _joined(operator: str, parts: Sequence[str]) -> str:
    """The parts with an operator between, as a balanced tree: parsers limit how deep an expression nests."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({_joined(operator, parts[:half])} {operator} {_joined(operator, parts[half:])})"


def numbered(portion: Portion) -> pa.Table:
    """The lines of a portion and their places in it."""
    lines = portion.lines()
    return table_of({"line": lines, "idx": pa.array(np.arange(len(lines), dtype=np.int32))})


@dataclass(frozen=True)
class Staged:
    """The workbench's tables that a pass fills: one of what each change is, and one of rows for each target."""

    facts: str = "facts"
    rows: str = "stage_rows"


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
        form: shape.Form = shape.CHANGE,
        *,
        notices: Notices | None = None,
        picks: Picks = Picks(),  # noqa: B008 - frozen
        staged: Staged = Staged(),
        only: Collection[int] | None = None,
    ) -> None:
        """`notices` takes note of items that no target takes, and of values that do not fit; None: nobody asks.

        `picks`: the targets that `latest` names lines of their own for. `only`: the targets, by place, whose rows are
        wanted; None: all.
        """
        self._picks = picks
        self._form = form
        self._notices = notices
        self._staged = staged
        self._workbench = workbench
        self._crew = crew
        # Guards the books and the staging tables: a table cannot be altered while another thread fills it.
        self._staging = threading.RLock()
        self._portions = portions
        self._rejects = rejects
        self._source = source
        self._facts = facts
        self._books = {i: b for i, b in enumerate(books) if only is None or i in only}
        self._dialect = dialect
        self._values = Values(dialect, facts.base64_layers)
        flags = "".join(f", takes_{i} BOOLEAN" for i in self._books)
        workbench.execute(
            f"CREATE TABLE {staged.facts} (n BIGINT, changed_at TIMESTAMP WITH TIME ZONE, removed BOOLEAN{flags})"
        )
        for number, book in self._books.items():
            workbench.execute(f"CREATE TABLE {staged.rows}_{number} ({staged_definition(book, dialect, bare=True)})")
        tags = facts.key_tags or ()
        self._make_tables(Sql(" OR ".join(could_take(b.target, source.key, tags) for b in self._books.values())))

    def _make_tables(self, could: Sql) -> None:
        workbench = self._workbench
        workbench.execute(
            render(
                "feed/sql/stage_keys.sql",
                DUCKDB,
                targets=[i for i in self._books if i not in dict(self._picks.targets)],
                picks=self._picks.each(),
                could=could,
            )
        )
        workbench.execute("CREATE TABLE doomed (chunk INTEGER, idx INTEGER, reason VARCHAR, detail VARCHAR)")
        workbench.execute("CREATE TABLE examined_bad (chunk INTEGER, idx INTEGER, reason VARCHAR, detail VARCHAR)")
        workbench.execute("CREATE TABLE doubted (n BIGINT)")

    def run(self) -> None:
        """Raises UnusableFeed when the stream carries no new images, SchemaConflict on `evolve: fail`."""
        self.refuse_keys()
        self.read_again("latest", lambda bench, _portion: self.stage(bench))
        # A winner without a usable image gives way to the next newest: all changes of its key are looked at.
        if self._workbench.rows("SELECT count(*) FROM doubted")[0][0]:
            self._examine_doubted()
            self.read_again("revised", lambda bench, _portion: self.stage(bench))
        self.finish()

    def finish(self) -> None:
        """The merge names every column, also of a table without rows."""
        for number, book in self._books.items():
            self._add_columns(self._workbench, number, book)
        self._rejects.flush()

    def read_again(self, choice: str, work_on: Callable[[Bench, Portion], None]) -> None:
        """Read the batch again, and do the work with the lines that the table `choice` (n, chunk, idx) names."""
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
                self.choose(bench, portion, choice)
                with bench.naming(lines=numbered(portion)):
                    work_on(bench, portion)

        self._crew.work(self._portions.read_fast(), work)
        self._crew.work(self._portions.read_exact(), work)
        self._workbench.execute("DELETE FROM doomed")

    # --- keys and changes that cannot be used -----------------------------------------------------------

    def refuse_keys(self) -> None:
        """Doom all changes of keys that the engine cannot hold."""
        tests: list[tuple[str, str, str]] = []
        if self._dialect.max_key_bytes is not None:
            size = "strlen(partition_key) + strlen(sort_key)"
            tests.append(
                (
                    f"{size} > {self._dialect.max_key_bytes}",
                    "key_too_long",
                    f"'a key of ' || {size} || ' bytes; {self._dialect.name} takes {self._dialect.max_key_bytes}'",
                )
            )
        if not self._dialect.holds_nul:
            nul = "contains(partition_key, chr(0)) OR contains(sort_key, chr(0))"
            tests.append((nul, "key_has_nul", f"'a key with U+0000, which {self._dialect.name} text cannot hold'"))
        for column, tag in zip(("partition_key", "sort_key"), self._facts.key_tags or (), strict=False):
            if tag == "N" and self._dialect.decimal_digits is not None:
                kind = f"DECIMAL({self._dialect.decimal_digits}, {self._dialect.decimal_scale})"
                exact = f"length(split_part({column}, '.', 2)) <= {self._dialect.decimal_scale}"
                tests.append(
                    (
                        f"TRY_CAST({column} AS {kind}) IS NULL OR NOT {exact}",
                        "key_too_precise",
                        f"'the key ' || {column} || ' does not fit {kind}'",
                    )
                )
        for condition, reason, detail in tests:
            self._workbench.execute(
                f"INSERT INTO doomed SELECT chunk, idx, '{reason}', {detail} FROM changes "
                f"WHERE (partition_key, sort_key) IN (SELECT (partition_key, sort_key) FROM latest WHERE {condition})"
            )
            self._workbench.execute(f"DELETE FROM latest WHERE {condition}")

    def _reject_doomed(self, bench: Bench, portion: Portion) -> None:
        for line, reason, detail in bench.rows(
            f"SELECT idx, reason, detail FROM doomed WHERE chunk = {portion.number}"
        ):
            number, record, offset = portion.place(line)
            self._rejects.add(Reject(number, record, offset, reason, detail, portion.raw(line)))

    def choose(self, bench: Bench, portion: Portion, choice: str) -> None:
        """Make `chosen` of the portion's lines that the table `choice` (n, chunk, idx) names."""
        columns = "n, idx"
        if self._picks:
            columns += ", target" if choice == "latest" else ", CAST(NULL AS INTEGER) AS target"
        bench.execute(
            f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT {columns} FROM {choice} WHERE chunk = {portion.number}"
        )

    def _doubt(self, bench: Bench) -> None:
        """Take changes without a usable image out of `wide`, and note their keys."""
        bench.execute(f"INSERT INTO doubted SELECT n FROM wide WHERE {UNUSABLE}")
        bench.execute(f"DELETE FROM wide WHERE {UNUSABLE}")

    def _examine_doubted(self) -> None:
        """Doom every unusable change of the doubted keys; the newest of the rest becomes the winner."""
        self._workbench.execute(
            "CREATE TABLE examined AS SELECT l.n, c.chunk, c.idx, c.position FROM changes AS c "
            "JOIN latest AS l USING (partition_key, sort_key) WHERE l.n IN (SELECT n FROM doubted)"
        )
        self.read_again("examined", self._examine)
        self._workbench.execute("INSERT INTO doomed SELECT chunk, idx, reason, detail FROM examined_bad")
        self._workbench.execute(
            """
            CREATE TABLE revised AS
            SELECT l.n, l.partition_key, l.sort_key, max(e.position) AS position,
                arg_max(e.chunk, e.position) AS chunk, arg_max(e.idx, e.position) AS idx
            FROM examined AS e
            JOIN latest AS l USING (n)
            WHERE (e.chunk, e.idx) NOT IN (SELECT (chunk, idx) FROM examined_bad)
            GROUP BY ALL
            """
        )
        self._workbench.execute("DELETE FROM latest WHERE n IN (SELECT n FROM doubted)")
        main = ", n AS main" if self._picks else ""
        self._workbench.execute(f"INSERT INTO latest BY NAME SELECT *{main} FROM revised")

    def _examine(self, bench: Bench, portion: Portion) -> None:
        # Set down first: a condition on `lines` would be tried on all of them, and some may not be JSON.
        bench.execute(
            "CREATE OR REPLACE TEMP TABLE picked AS "
            "SELECT c.idx, l.line FROM chosen AS c JOIN lines AS l ON l.idx = c.idx"
        )
        event = f"json_extract_string(line, '{shape.EVENT_NAME}')"
        views = bench.rows(
            f"SELECT idx, json_extract_string(line, '{shape.VIEW_TYPE}') FROM picked "
            f"WHERE {event} IN ('INSERT', 'MODIFY') AND json_extract(line, '{shape.NEW_IMAGE}') IS NULL"
        )
        for line, view in views:
            if view in shape.VIEWS_WITHOUT_NEW_IMAGE:
                raise self._unusable_view(portion, line, view)
        bench.execute(
            f"""
            INSERT INTO examined_bad
            SELECT {portion.number}, idx,
                CASE WHEN known THEN 'no_image' ELSE 'unknown_event' END,
                CASE WHEN known THEN '{_NO_IMAGE}' ELSE '{_UNKNOWN_EVENT}' END
            FROM (
                SELECT idx, coalesce({event} IN ('INSERT', 'MODIFY', 'REMOVE'), FALSE) AS known,
                    coalesce({event} = 'REMOVE', FALSE) AS removed,
                    coalesce(len(json_keys(line, '{shape.NEW_IMAGE}')), 0) > 0 AS has_image
                FROM picked
            )
            WHERE NOT known OR NOT (removed OR has_image)
            """
        )

    def _unusable_view(self, portion: Portion, line: int, view: str) -> UnusableFeed:
        number, record, _ = portion.place(line)
        return UnusableFeed(
            f"the stream's view type is {view}: its records carry no new image, so rows cannot be built from them",
            where=f"source {self._source.name}, record {record} of {self._portions.object_key(number)}",
            hint="a view type cannot be changed: switch the table's stream off and on again with NEW_IMAGE or "
            "NEW_AND_OLD_IMAGES, and let it write to a new prefix",
        )

    # --- winners to rows --------------------------------------------------------------------------------

    def stage(self, bench: Bench) -> None:
        """Stage the lines that `chosen` (n, idx) names among `lines` (line, idx)."""
        with self._staging:
            for number, book in self._books.items():
                if book.target.each is None and (book.pending or not book.schema.columns):
                    self._get_acquainted(bench, number, book)
            columns = {number: book.schema.columns for number, book in self._books.items()}
        layouts = self._extract(bench, columns)
        odd = ", ".join(f"count(*) FILTER (takes_{t.number} AND clean_{t.number} IS NOT TRUE)" for t in layouts)
        belongs = " OR ".join(t.flag for t in layouts)
        # Only the newest of a key tells what an item is, not one that was picked for a single target.
        unmatched = f"count(*) FILTER (NOT removed AND NOT ({belongs}) AND NOT {UNUSABLE} AND n < {PICKED_FROM})"
        query = f"SELECT count(*) FILTER ({UNUSABLE}), {unmatched}, {odd} FROM wide"
        unusable, strangers, *odd_counts = bench.rows(query)[0]
        if unusable:
            self._doubt(bench)
        if strangers and self._notices and self._notices.counts_unmatched:
            self._count_unmatched(bench, self._notices, belongs)
        flags = "".join(f", takes_{t.number}" for t in layouts)
        bench.execute(f"INSERT INTO {self._staged.facts} SELECT n, changed_at, removed{flags} FROM wide")
        for layout, count in zip(layouts, odd_counts, strict=True):
            if self._books[layout.number].target.each is not None:
                if count:
                    self._stage_elements(bench, layout.number)
                continue
            self._stage_rows(bench, layout)
            if count:
                self._stage_odd(bench, layout.number)

    def _get_acquainted(self, bench: Bench, number: int, book: SchemaBook) -> None:
        """Look at some lines that the target takes, for the attributes they have."""
        pointers = shape.Pointers(self._form)
        taken = takes(book.target, pointers.value)
        event = self._form.event or pointers.value(shape.EVENT_NAME)
        pointers.value("/")  # never an empty list
        mine = f" WHERE coalesce(c.target = {number}, TRUE)" if self._picks else ""
        images = bench.table(
            f"SELECT image FROM (SELECT json_extract(line, '{self._form.image}') AS image, "
            f"len(json_keys(line, '{self._form.image}')) AS width, "
            f"json_extract_string(line, {pointers.as_list()}) AS v "
            f"FROM (SELECT l.line FROM chosen AS c JOIN lines AS l ON l.idx = c.idx{mine} LIMIT {_SAMPLE})) "
            f"WHERE image IS NOT NULL AND {event} <> 'REMOVE' AND {taken}"
        )
        with bench.naming(odd=images):
            self._settle_pending(bench, book)
        book.meet(attributes_seen(images.column("image")))

    def _settle_pending(self, bench: Bench, book: SchemaBook) -> None:
        """Find the type tags, in the images of `odd`, of columns that were asked for without a type."""
        found: dict[Column, dict[str, int]] = {}
        for column in book.pending:
            at = shape.literal(shape.pointer(column.path, below=""))
            found[column] = dict(
                bench.rows(
                    f"SELECT tag, count(*) FROM (SELECT json_keys(image, {at})[1] AS tag FROM odd) "
                    "WHERE tag IS NOT NULL GROUP BY tag"
                )
            )
        book.settle_pending(found)

    def _extract(self, bench: Bench, columns: Mapping[int, Columns]) -> list[_TargetLayout]:
        """Fill `wide`; returns how each target's columns stand in it."""
        pointers = shape.Pointers(self._form)
        layouts = [self._layout(i, self._books[i], mine, pointers) for i, mine in columns.items()]
        bench.execute(
            render(
                "feed/sql/images.sql",
                DUCKDB,
                targets=layouts,
                is_picked=bool(self._picks),
                image=self._form.image,
                event_name=Sql(self._form.event or pointers.value(shape.EVENT_NAME)),
                created_at=Sql(self._form.created_at or pointers.value(shape.CREATED_AT)),
                precision=Sql(self._form.created_at or pointers.value(shape.PRECISION)),
                pointers=Sql(pointers.as_list()),
            )
        )
        return layouts

    def _layout(self, number: int, book: SchemaBook, columns: Columns, pointers: shape.Pointers) -> _TargetLayout:
        if book.target.each is not None:
            count = f"element_count({pointers.value(shape.pointer(book.target.each))})"
            belongs = takes(book.target, pointers.value)
            return _TargetLayout(
                number=number,
                takes=Sql(f"({belongs}) AND {count} > 0"),
                clean=Sql("FALSE"),
                columns=(),
                belongs=Sql(belongs),
            )
        values = [self._values.sure(f"t{number}_c{i}", c, pointers) for i, c in enumerate(columns)]
        return _TargetLayout(
            number=number,
            takes=Sql(takes(book.target, pointers.value)),
            clean=Sql(self._clean(book, columns, values, pointers)),
            columns=tuple(values),
        )

    def _clean(self, book: SchemaBook, columns: Columns, values: Sequence[Extracted], pointers: shape.Pointers) -> str:
        """Whether the columns hold as many attributes as the image has, and every path that leads somewhere.

        An attribute counts once, however many columns take it, and only if all of them hold it.
        """
        if book.target.is_document:
            return f"{values[0].name.parts[0]} IS NOT NULL"
        held_by: dict[str, list[str]] = {}
        astray = []
        for attribute, mine in holders(columns).items():
            if attribute not in book.key:
                held_by[attribute] = [self._values.holds(columns[i], values[i], pointers) for i in mine]
        for column, value in zip(columns, values, strict=True):
            if len(column.path) != 1 and column.mask is None:
                given = pointers.value(shape.pointer(column.path))
                astray.append(f"({value.name.parts[0]} IS NULL AND {given} IS NOT NULL)")
        for attribute, tag in zip(book.key, self._facts.key_tags or (), strict=True):
            given = pointers.value(f"{shape.pointer((attribute,))}/{tag}")
            held_by[attribute] = [f"{given} IS NOT NULL"]
        pinned = len(book.pinned_attributes() - set(held_by))
        held = [f"CAST({_joined('AND', tests)} AS INTEGER)" for tests in held_by.values()]
        is_clean = f"width = {_joined('+', [str(pinned), *held])}"
        return f"({is_clean}) AND NOT {_joined('OR', astray)}" if astray else is_clean

    def _count_unmatched(self, bench: Bench, notices: Notices, belongs: str) -> None:
        pointers = shape.Pointers(self._form)
        expression = entity(self._source, self._facts.key_tags or (), self._form, pointers.value)
        pointers.value("/")  # never an empty list
        notices.add_unmatched(
            bench.rows(
                render(
                    "feed/sql/unmatched.sql",
                    DUCKDB,
                    entity=Sql(expression),
                    belongs=Sql(belongs),
                    picked_from=PICKED_FROM,
                    pointers=Sql(pointers.as_list()),
                )
            )
        )

    def _note_misfits(self, bench: Bench, number: int, rows: pa.Table, columns: Columns) -> None:
        """Take note of the rows (n, image, misfits), if anybody asks."""

        def key_of(n: int) -> tuple[str, ...]:
            key: tuple[str, str] = bench.rows(f"SELECT partition_key, sort_key FROM latest WHERE n = {n}")[0]
            return key[: len(self._source.key)]

        if self._notices:
            layers = self._facts.base64_layers
            self._notices.add_misfits(rows, self._books[number], columns, key_of, base64_layers=layers)

    def _stage_rows(self, bench: Bench, layout: _TargetLayout) -> None:
        number = layout.number
        into = "".join(f", c{i}" for i in range(len(layout.columns)))
        values = "".join(f", {c.name.parts[0]}" for c in layout.columns)
        with self._staging:
            self._add_columns(bench, number, self._books[number])
            bench.execute(
                f"INSERT INTO {self._staged.rows}_{number} (n{into}) "
                f"SELECT n{values} FROM wide WHERE takes_{number} AND clean_{number}"
            )

    def _stage_odd(self, bench: Bench, number: int) -> None:
        """Rows with something that did not simply fit: new attributes, other types, values to be rescued."""
        book = self._books[number]
        odd = bench.table(
            f"SELECT w.n, json_extract(l.line, '{self._form.image}') AS image "
            "FROM wide AS w JOIN lines AS l ON l.idx = w.idx "
            f"WHERE w.takes_{number} AND w.clean_{number} IS NOT TRUE"
        )
        with bench.naming(odd=odd):
            with self._staging:
                self._settle_pending(bench, book)
                book.meet(attributes_seen(odd.column("image")))
                self._add_columns(bench, number, book)
                columns, held = book.schema.columns, book.held_attributes()
            pointers = shape.Pointers()
            values = [self._values.careful(i, c, pointers) for i, c in enumerate(columns)]
            pointers.value("/")  # never an empty list
            whole = whole_columns(columns, book.key)
            rows = bench.table(
                render(
                    "feed/sql/odd.sql",
                    DUCKDB,
                    columns=values,
                    watched=[values[i] for i in (*whole, *part_columns(columns))],
                    pointers=Sql(pointers.as_list()),
                )
            )
        failed = failed_attributes(rows, [str(c.path[0]) if i in whole else None for i, c in enumerate(columns)])
        if failed is not None:
            self._note_misfits(bench, number, rows, columns)
        rescued = rescue(
            rows.column("image"),
            held=held,
            failed=failed,
            base64_layers=self._facts.base64_layers,
        )
        rows = rows.drop_columns(["image", "misfits"]).append_column("rescued", rescued)
        names = ", ".join(DUCKDB.quote(n) for n in rows.column_names)
        with bench.naming(careful=rows), self._staging:
            bench.execute(f"INSERT INTO {self._staged.rows}_{number} ({names}) SELECT {names} FROM careful")

    def _stage_elements(self, bench: Bench, number: int) -> None:
        """Each element of the taken items is a row."""
        book = self._books[number]
        stage = ElementStage(number, book, self._values, self._form)
        with self._staging:  # what is asked for may become known meanwhile: then the pointers would not fit
            found = stage.find(bench)
            with bench.naming(found=found):
                stage.meet(bench, found)
                self._add_columns(bench, number, book)
                rows, misfits = stage.rows(bench)
                if len(misfits):
                    self._note_misfits(bench, number, misfits, book.schema.columns)
            names = ", ".join(DUCKDB.quote(n) for n in rows.column_names)
            with bench.naming(careful=rows):
                bench.execute(f"INSERT INTO {self._staged.rows}_{number} ({names}) SELECT {names} FROM careful")

    def _add_columns(self, bench: Bench, number: int, book: SchemaBook) -> None:
        table = f"{self._staged.rows}_{number}"
        have = {n for (n,) in bench.rows(f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}'")}
        wanted = staged_columns(book, self._dialect)
        missing = [(n, kind) for n, kind in wanted if n not in have]
        if len(missing) > 1 and not bench.rows(f"SELECT 1 FROM {table} LIMIT 1"):
            # Each ALTER costs as much as the table is wide; an empty table is made anew at once.
            bench.execute(f"CREATE OR REPLACE TABLE {table} ({staged_definition(book, self._dialect)})")
            return
        for staged, kind in missing:
            bench.execute(f"ALTER TABLE {table} ADD COLUMN {staged} {kind}")

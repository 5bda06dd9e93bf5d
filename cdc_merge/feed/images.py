"""The second pass over a batch: the images of the newest change of each key, as typed rows for each target."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cdc_merge.errors import UnusableFeed
from cdc_merge.feed import shape
from cdc_merge.feed.chunks import table_of
from cdc_merge.feed.convert import carefully, staged_type, surely, usual_tag
from cdc_merge.feed.envelopes import FeedFacts
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.plain import attributes_seen
from cdc_merge.feed.portions import Portion, Portions
from cdc_merge.feed.rejects import Reject, Rejects
from cdc_merge.feed.rescue import rescue
from cdc_merge.feed.where import could_take, takes
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.merge.schema import SchemaBook, TypedColumn
from cdc_merge.model import Column, Source
from cdc_merge.render import Name, Sql, name, render
from cdc_merge.warehouses.dialect import DUCKDB, Dialect

_SAMPLE = 2_000  # rows looked at for new attributes before a whole portion is
_UNKNOWN_EVENT = "eventName is none of INSERT, MODIFY, REMOVE"
_NO_IMAGE = "an INSERT or MODIFY without a NewImage object"


@dataclass(frozen=True)
class _Extracted:
    """A column in a template: its quoted name and the expression of its value."""

    name: Name
    value: Sql
    given: Sql | None = None
    attribute: str = ""


Columns = tuple[TypedColumn, ...]


def _whole(values: Sequence[_Extracted], columns: Columns) -> list[_Extracted]:
    """Those whose column takes a whole attribute."""
    return [v for v, c in zip(values, columns, strict=True) if len(c.path) == 1]


def staged_name(index: int) -> Name:
    """The name a target's column goes by in staging: its own could be any, `n` or `rescued` too."""
    return name(f"c{index}")


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
    ) -> None:
        self._workbench = workbench
        self._crew = crew
        # Guards the books and the staging tables: a table cannot be altered while another thread fills it.
        self._staging = threading.RLock()
        self._portions = portions
        self._rejects = rejects
        self._source = source
        self._facts = facts
        self._books = books
        self._dialect = dialect
        flags = "".join(f", takes_{i} BOOLEAN" for i in range(len(books)))
        workbench.execute(
            "CREATE TABLE stage_keys (n BIGINT, partition_key VARCHAR, sort_key VARCHAR, position VARCHAR, "
            f"changed_at TIMESTAMP WITH TIME ZONE, removed BOOLEAN, could BOOLEAN{flags})"
        )
        for number in range(len(books)):
            workbench.execute(f"CREATE TABLE stage_rows_{number} (n BIGINT, rescued VARCHAR)")
        workbench.execute("CREATE TABLE doomed (chunk INTEGER, idx INTEGER, reason VARCHAR, detail VARCHAR)")
        workbench.execute("CREATE TABLE examined_bad (chunk INTEGER, idx INTEGER, reason VARCHAR, detail VARCHAR)")
        workbench.execute("CREATE TABLE doubted (n BIGINT, partition_key VARCHAR, sort_key VARCHAR)")

    def run(self) -> None:
        """Raises UnusableFeed when the stream carries no new images, SchemaConflict on `evolve: fail`."""
        self._refuse_keys()
        self._pass(self._stage)
        # A winner without a usable image gives way to the next newest: all changes of its key are looked at.
        if self._workbench.rows("SELECT count(*) FROM doubted")[0][0]:
            self._examine_doubted()
            self._pass(self._stage)
        self._rejects.flush()

    def _pass(self, stage: Callable[[Bench, Portion], None]) -> None:
        wanted = {
            c
            for (c,) in self._workbench.rows(
                "SELECT DISTINCT chunk FROM latest UNION SELECT DISTINCT chunk FROM doomed"
            )
        }
        if not wanted:
            return

        def work(bench: Bench, portion: Portion) -> None:
            if portion.number in wanted:
                self._reject_doomed(bench, portion)
                stage(bench, portion)

        self._crew.work(self._portions.read_fast(), work)
        self._crew.work(self._portions.read_exact(), work)
        self._workbench.execute("DELETE FROM doomed")

    # --- keys and changes that cannot be used -----------------------------------------------------------

    def _refuse_keys(self) -> None:
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

    def _doubt(self, bench: Bench) -> None:
        """Take winners without a usable image out of `wide`, and note their keys."""
        unusable = (
            "event_name IS NULL OR event_name NOT IN ('INSERT', 'MODIFY', 'REMOVE') "
            "OR (NOT removed AND coalesce(width, 0) = 0)"
        )
        if not bench.rows(f"SELECT count(*) FROM wide WHERE {unusable}")[0][0]:
            return
        bench.execute(f"INSERT INTO doubted SELECT n, partition_key, sort_key FROM wide WHERE {unusable}")
        bench.execute(f"DELETE FROM wide WHERE {unusable}")

    def _examine_doubted(self) -> None:
        """Doom every unusable change of the doubted keys; the newest of the rest becomes the winner."""
        self._workbench.execute(
            "CREATE OR REPLACE TABLE examined AS SELECT chunk, idx, d.n, c.position "
            "FROM changes AS c JOIN doubted AS d USING (partition_key, sort_key)"
        )
        self._workbench.execute("CREATE OR REPLACE TABLE latest_before AS FROM latest")
        self._workbench.execute("DELETE FROM latest")
        self._workbench.execute("INSERT INTO latest SELECT n, '', '', position, chunk, idx FROM examined")
        self._pass(self._examine)
        self._workbench.execute("INSERT INTO doomed SELECT chunk, idx, reason, detail FROM examined_bad")
        self._workbench.execute(
            """
            CREATE OR REPLACE TABLE latest AS
            SELECT l.n, l.partition_key, l.sort_key, max(e.position) AS position,
                arg_max(e.chunk, e.position) AS chunk, arg_max(e.idx, e.position) AS idx
            FROM examined AS e
            JOIN latest_before AS l USING (n)
            WHERE (e.chunk, e.idx) NOT IN (SELECT (chunk, idx) FROM examined_bad)
            GROUP BY ALL
            """
        )
        self._workbench.execute("DELETE FROM doubted")

    def _examine(self, bench: Bench, portion: Portion) -> None:
        with bench.naming(winners=self._winners(bench, portion)):
            views = bench.rows(
                f"SELECT idx, json_extract_string(line, '{shape.VIEW_TYPE}') FROM winners "
                f"WHERE json_extract_string(line, '{shape.EVENT_NAME}') IN ('INSERT', 'MODIFY') "
                f"AND json_extract(line, '{shape.NEW_IMAGE}') IS NULL"
            )
            for line, view in views:
                if view in shape.VIEWS_WITHOUT_NEW_IMAGE:
                    raise self._unusable_view(portion, line, view)
            event = f"json_extract_string(line, '{shape.EVENT_NAME}')"
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
                    FROM winners
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

    def _winners(self, bench: Bench, portion: Portion) -> pa.Table:
        winners = bench.table(
            f"SELECT n, idx, partition_key, sort_key, position FROM latest WHERE chunk = {portion.number} ORDER BY idx"
        )
        indexes = winners.column("idx").to_numpy().astype(np.int64)
        lines = portion.lines().take(pa.array(indexes))
        return table_of({name: winners.column(name) for name in winners.column_names} | {"line": lines})

    def _stage(self, bench: Bench, portion: Portion) -> None:
        winners = self._winners(bench, portion)
        if not winners.num_rows:
            return
        with bench.naming(winners=winners):
            with self._staging:
                for book in self._books:
                    if book.pending or not book.schema.columns:
                        self._get_acquainted(bench, book)
                columns = [book.schema.columns for book in self._books]
            values = self._extract(bench, columns)
            for number, book in enumerate(self._books):
                self._stage_rows(bench, number, book, columns[number], values[number])

    def _get_acquainted(self, bench: Bench, book: SchemaBook) -> None:
        """Look at some lines that the target takes, for the attributes they have."""
        pointers = shape.Pointers()
        taken = takes(book.target, pointers.value)
        event = pointers.value(shape.EVENT_NAME)
        images = bench.table(
            f"SELECT image FROM (SELECT json_extract(line, '{shape.NEW_IMAGE}') AS image, "
            f"json_extract_string(line, {pointers.as_list()}) AS v FROM (SELECT line FROM winners LIMIT {_SAMPLE})) "
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

    def _extract(self, bench: Bench, columns: Sequence[Columns]) -> list[list[_Extracted]]:
        """Fill `wide` and `stage_keys`; returns the expressions of each target's columns."""
        pointers = shape.Pointers()
        event_name = pointers.value(shape.EVENT_NAME)
        created_at, precision = pointers.value(shape.CREATED_AT), pointers.value(shape.PRECISION)
        taken = [takes(book.target, pointers.value) for book in self._books]
        values = [[self._sure_value(i, c, pointers) for i, c in enumerate(mine)] for mine in columns]
        bench.execute(
            render(
                "feed/sql/images.sql",
                DUCKDB,
                takes=[Sql(t) for t in taken],
                event_name=Sql(event_name),
                pointers=Sql(pointers.as_list()),
            )
        )
        self._doubt(bench)
        tags = self._facts.key_tags or ()
        could = " OR ".join(could_take(book.target, self._source.key, tags) for book in self._books)
        bench.execute(
            render(
                "feed/sql/stage_keys.sql",
                DUCKDB,
                takes=taken,
                created_at=Sql(created_at),
                precision=Sql(precision),
                could=Sql(could),
            )
        )
        return values

    def _sure_value(self, index: int, column: TypedColumn, pointers: shape.Pointers) -> _Extracted:
        at = shape.pointer(column.path)
        tag = usual_tag(column.type)
        text = pointers.value(f"{at}/{tag}" if tag else at)
        value = surely(column.type, text, self._dialect, base64_layers=self._facts.base64_layers)
        return _Extracted(staged_name(index), Sql(value))

    def _stage_rows(
        self, bench: Bench, number: int, book: SchemaBook, columns: Columns, values: Sequence[_Extracted]
    ) -> None:
        held_whole = {str(c.path[0]) for c in columns if len(c.path) == 1}
        always = len((set(book.key) | book.pinned_attributes()) - held_whole)
        bench.execute(
            render(
                "feed/sql/flat.sql",
                DUCKDB,
                target=number,
                columns=values,
                whole_columns=_whole(values, columns),
                always_held=always,
            )
        )
        names = "".join(f", {DUCKDB.quote(*v.name.parts)}" for v in values)
        with self._staging:
            self._add_columns(bench, number, book)
            bench.execute(f"INSERT INTO stage_rows_{number} (n{names}) SELECT n{names} FROM flat WHERE clean")
        odd = bench.table(
            f"SELECT n, json_extract(line, '{shape.NEW_IMAGE}') AS image FROM winners "
            "WHERE n IN (SELECT n FROM flat WHERE clean IS NOT TRUE)"
        )
        if odd.num_rows:
            self._stage_odd(bench, number, book, table_of({n: odd.column(n) for n in odd.column_names}))

    def _stage_odd(self, bench: Bench, number: int, book: SchemaBook, odd: pa.Table) -> None:
        with bench.naming(odd=odd):
            with self._staging:
                self._settle_pending(bench, book)
                book.meet(attributes_seen(odd.column("image")))
                self._add_columns(bench, number, book)
                columns, held = book.schema.columns, book.held_attributes()
            pointers = shape.Pointers()
            values = [self._careful_value(i, c, pointers) for i, c in enumerate(columns)]
            pointers.value("/")  # never an empty list
            rows = bench.table(
                render(
                    "feed/sql/odd.sql",
                    DUCKDB,
                    columns=values,
                    whole_columns=_whole(values, columns),
                    pointers=Sql(pointers.as_list()),
                )
            )
        rescued = rescue(
            rows.column("image"),
            held=held,
            failed=rows.column("failed"),
            base64_layers=self._facts.base64_layers,
        )
        rows = rows.drop_columns(["image", "failed"]).append_column("rescued", rescued)
        names = ", ".join(DUCKDB.quote(n) for n in rows.column_names)
        with bench.naming(careful=rows), self._staging:
            bench.execute(f"INSERT INTO stage_rows_{number} ({names}) SELECT {names} FROM careful")

    def _careful_value(self, index: int, column: TypedColumn, pointers: shape.Pointers) -> _Extracted:
        at = shape.pointer(column.path, below="")
        whole = pointers.value(at)
        tags = {tag: pointers.value(f"{at}/{tag}") for tag in ("S", "N", "BOOL", "B")}
        value = carefully(column.type, tags, whole, self._dialect, base64_layers=self._facts.base64_layers)
        is_null = f"coalesce({pointers.value(f'{at}/NULL')} = 'true', FALSE)"
        return _Extracted(
            staged_name(index),
            Sql(f"CASE WHEN NOT {is_null} THEN {value} END"),
            Sql(f"({whole} IS NOT NULL AND NOT {is_null})"),
            str(column.path[0]),
        )

    def _add_columns(self, bench: Bench, number: int, book: SchemaBook) -> None:
        table = f"stage_rows_{number}"
        have = {n for (n,) in bench.rows(f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}'")}
        for index, column in enumerate(book.schema.columns):
            staged = staged_name(index).parts[0]
            if staged not in have:
                kind = staged_type(column.type, self._dialect)
                bench.execute(f"ALTER TABLE {table} ADD COLUMN {staged} {kind}")

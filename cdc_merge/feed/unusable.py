"""Changes that cannot be used: of keys that the engine cannot hold, of unknown events, without an image."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_merge.errors import UnusableFeed
from cdc_merge.feed import shape
from cdc_merge.feed.changes import Changes
from cdc_merge.feed.portions import Portion, Portions
from cdc_merge.feed.reading import Rereading
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.model import Source
from cdc_merge.warehouses.dialect import Dialect

UNUSABLE = (
    "(event_name IS NULL OR event_name NOT IN ('INSERT', 'MODIFY', 'REMOVE') "
    "OR (NOT removed AND coalesce(width, 0) = 0))"
)
"""Whether a row of `wide` is of a change without a usable image."""

_UNKNOWN_EVENT = "eventName is none of INSERT, MODIFY, REMOVE"
_NO_IMAGE = "an INSERT or MODIFY without a NewImage object"


def key_tests(dialect: Dialect, key_tags: Sequence[str]) -> list[tuple[str, str, str]]:
    """(condition, reason, SQL of the detail) of keys that the engine cannot hold; the first reason counts."""
    tests: list[tuple[str, str, str]] = []
    if dialect.max_key_bytes is not None:
        size = "strlen(partition_key) + strlen(sort_key)"
        tests.append(
            (
                f"{size} > {dialect.max_key_bytes}",
                "key_too_long",
                f"'a key of ' || {size} || ' bytes; {dialect.name} takes {dialect.max_key_bytes}'",
            )
        )
    if not dialect.holds_nul:
        nul = "contains(partition_key, chr(0)) OR contains(sort_key, chr(0))"
        tests.append((nul, "key_has_nul", f"'a key with U+0000, which {dialect.name} text cannot hold'"))
    if dialect.ignores_trailing_blanks:
        blank = "suffix(partition_key, ' ') OR suffix(sort_key, ' ')"
        detail = f"'{dialect.name} cannot tell this key from the same without the blank at its end'"
        tests.append((blank, "key_ends_in_blank", detail))
    for column, tag in zip(("partition_key", "sort_key"), key_tags, strict=False):
        if tag == "N" and dialect.decimal_digits is not None:
            kind = f"DECIMAL({dialect.decimal_digits}, {dialect.decimal_scale})"
            exact = f"length(split_part({column}, '.', 2)) <= {dialect.decimal_scale}"
            tests.append(
                (
                    f"TRY_CAST({column} AS {kind}) IS NULL OR NOT {exact}",
                    "key_too_precise",
                    f"'the key ' || {column} || ' does not fit {kind}'",
                )
            )
    return tests


def refuse_keys(workbench: Workbench, changes: Changes, dialect: Dialect, key_tags: Sequence[str]) -> None:
    """Doom all changes of keys that the engine cannot hold."""
    for condition, reason, detail in key_tests(dialect, key_tags):
        if not workbench.rows(f"SELECT 1 FROM latest WHERE {condition} LIMIT 1"):
            continue
        changes.show()
        workbench.execute(
            f"INSERT INTO doomed SELECT chunk, idx, '{reason}', {detail} FROM changes "
            f"WHERE (partition_key, sort_key) IN (SELECT (partition_key, sort_key) FROM latest WHERE {condition})"
        )
        workbench.execute(f"DELETE FROM latest WHERE {condition}")


class Doubts:
    """Winners without a usable image: each gives way to the next newest change of its key."""

    def __init__(self, workbench: Workbench, reading: Rereading, portions: Portions, source: Source) -> None:
        self._workbench = workbench
        self._reading = reading
        self._portions = portions
        self._source = source
        workbench.execute("CREATE TABLE examined_bad (chunk INTEGER, idx INTEGER, reason VARCHAR, detail VARCHAR)")
        workbench.execute("CREATE TABLE doubted (n BIGINT)")

    def note(self, bench: Bench, table: str) -> None:
        """Take changes without a usable image out of a table, and note their keys."""
        bench.execute(f"INSERT INTO doubted SELECT n FROM {table} WHERE {UNUSABLE}")
        bench.execute(f"DELETE FROM {table} WHERE {UNUSABLE}")

    def are_there(self) -> bool:
        """Whether there are some of `latest`."""
        return bool(self._workbench.rows("SELECT 1 FROM doubted SEMI JOIN latest USING (n) LIMIT 1"))

    def settle(self, *, are_picked: bool) -> None:
        """Doom every unusable change of the doubted keys; the newest of the rest becomes the winner, in `revised`.

        `are_picked`: whether `latest` names lines for single targets, too. Raises UnusableFeed.
        """
        self._workbench.execute(
            "CREATE TABLE examined AS SELECT l.n, c.chunk, c.idx, c.position FROM changes AS c "
            "JOIN latest AS l USING (partition_key, sort_key) WHERE l.n IN (SELECT n FROM doubted)"
        )
        self._reading.read("examined", self._examine)
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
        main = ", n AS main" if are_picked else ""
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

"""Reads lines into the workbench: of each key the newest image among what was read, in the table `items`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from cdc_merge.errors import UsageError
from cdc_merge.feed import shape
from cdc_merge.feed.chunks import SHORT_VECTOR, LocalObject, Unframed, Unreadable, table_of
from cdc_merge.feed.decode import decoding_threads
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.portions import BUFFER_SHARE, ExactPortion, Portion, Portions
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.infer.facts import Form
from cdc_merge.render import Sql, render
from cdc_merge.warehouses.dialect import DUCKDB

_LONGEST = 2**50  # bytes; somebody asks for the object to be read, and it is read piece by piece
_USABLE = "key IS NOT NULL AND position IS NOT NULL"
_COMPACT_AT = 2_000_000  # rows
_LOOKED_AT = 1_000  # lines, to learn what they are
_KEYS = {Form.CHANGES: shape.KEYS, Form.EXPORTED_CHANGES: "/Keys"}
_IMAGES = {Form.CHANGES: (shape.NEW_IMAGE, "/dynamodb/OldImage"), Form.EXPORTED_CHANGES: ("/NewImage", "/OldImage")}
_MICROS = "/Metadata/WriteTimestampMicros"


@dataclass(frozen=True)
class Layout:
    """What the lines are, and the key attributes if they name them (in byte order)."""

    form: Form
    key: tuple[str, ...]


class Gatherer:
    """Takes groups of local objects, one after the other; `finish` makes the table `items` (n, image)."""

    def __init__(self, workbench: Workbench, *, form: Form | None, check: Callable[[], None]) -> None:
        """`form`: what the lines are, if it is known; else the first ones show it. `check` may raise to stop."""
        self._workbench = workbench
        self._check = check
        self._form = form
        self._learning = threading.Lock()
        threads = decoding_threads(workbench)
        workbench.execute(f"SET threads = {threads}")
        self._crew = Crew(workbench, size=threads)
        self._compacted = 0
        self._unusable = 0
        self.layout: Layout | None = None
        self.records = 0
        self.unreadable: Counter[str] = Counter()
        self.tables: Counter[str] = Counter()
        columns = "key UHUGEINT, position VARCHAR, image VARCHAR"
        workbench.execute(f"CREATE TABLE fresh (object_number INTEGER, {columns}, source_table VARCHAR)")
        workbench.execute(f"CREATE TABLE taken ({columns})")

    @property
    def unusable(self) -> int:
        """Records without key, image or position, and what is no record at all."""
        return self._unusable

    def take(self, objects: Sequence[LocalObject]) -> None:
        """Read some objects. One that cannot be read is counted, by its reason."""
        portions = Portions(
            tuple(objects),
            limit=_LONGEST,
            memory=int(self._workbench.memory * BUFFER_SHARE),
            users=self._crew.size,
            check=self._check,
        )
        reading = _Reading(self._workbench, self._learn, portions)
        self._crew.work(portions.read_fast(), reading.read, other=reading.note)
        # What is no record may be an event of many records, or a part of one that was cut in the wrong place.
        for (number,) in self._workbench.rows(
            "SELECT DISTINCT object_number FROM fresh WHERE key IS NULL OR position IS NULL"
        ):
            portions.must_read_exactly(number)
        reading.forget(portions.given_up())
        self._crew.work(portions.read_exact(), reading.read, other=reading.note)
        reading.forget(list(portions.unreadable))
        self.unreadable.update(error.reason for error in portions.unreadable.values())
        self._settle(reading.damaged)

    def _learn(self, bench: Bench) -> Layout | None:
        """What the lines of `lines` are; None: none of them is anything known."""
        with self._learning:
            if self.layout is None:
                self.layout = learn_layout(bench, self._form)
            return self.layout

    def finish(self) -> tuple[int, int]:
        """Make `items` of all that was taken; returns how many items, and how many keys without an image."""
        keys_only = 0 if self._has_each_once else self._compact()
        self._workbench.execute(
            "CREATE TABLE items AS SELECT row_number() OVER () AS n, image FROM taken WHERE image IS NOT NULL"
        )
        self._workbench.execute("DROP TABLE taken")
        images: int = self._workbench.rows("SELECT count(*) FROM items")[0][0]
        return images, keys_only

    @property
    def _has_each_once(self) -> bool:
        return self.layout is not None and self.layout.form is Form.ITEMS

    def _settle(self, damaged: int) -> None:
        for table, records, of_them in self._workbench.rows(
            f"SELECT source_table, count(*), count(*) FILTER ({_USABLE}) FROM fresh GROUP BY ALL"
        ):
            self.records += records
            self._unusable += records - of_them
            if table and of_them:
                self.tables[table] += of_them
        self.records += damaged
        self._unusable += damaged
        self._workbench.execute(f"INSERT INTO taken SELECT key, position, image FROM fresh WHERE {_USABLE}")
        self._workbench.execute("TRUNCATE fresh")
        held = self._workbench.rows("SELECT count(*) FROM taken")[0][0]
        if held > 2 * self._compacted + _COMPACT_AT and not self._has_each_once:
            self._compact()

    def _compact(self) -> int:
        """Keep the newest image of each key only; returns of how many keys there is none.

        Done when the table has doubled, so it costs little in all. Images are not carried about: the rows to keep are
        chosen by their numbers.
        """
        self._workbench.execute(
            "CREATE TEMP TABLE kept AS SELECT max(position) AS position, "
            "arg_max(rowid, position) FILTER (image IS NOT NULL) AS image_at, arg_max(rowid, position) AS key_at "
            "FROM taken GROUP BY key"
        )
        self._workbench.execute(
            "CREATE TABLE fewer AS SELECT key, position, image FROM taken "
            "WHERE rowid IN (SELECT coalesce(image_at, key_at) FROM kept)"
        )
        keys_only: int = self._workbench.rows("SELECT count(*) FROM kept WHERE image_at IS NULL")[0][0]
        for statement in ("DROP TABLE kept", "DROP TABLE taken", "ALTER TABLE fewer RENAME TO taken"):
            self._workbench.execute(statement)
        self._compacted = self._workbench.rows("SELECT count(*) FROM taken")[0][0]
        return keys_only


class _Reading:
    """One reading of some objects, with what is found out about them on the way."""

    def __init__(self, workbench: Workbench, learn: Callable[[Bench], Layout | None], portions: Portions) -> None:
        self._workbench = workbench
        self._learn = learn
        self._portions = portions
        self._counting = threading.Lock()
        self._damaged: Counter[int] = Counter()

    @property
    def damaged(self) -> int:
        """Pieces that are no JSON."""
        return self._damaged.total()

    def note(self, event: Unreadable | Unframed) -> None:
        match event:
            case Unreadable(number, error):
                self._portions.unreadable[number] = error
            case Unframed(number):
                self._portions.must_read_exactly(number)

    def forget(self, numbers: Sequence[int]) -> None:
        """Drop all that was read of objects."""
        if numbers:
            listed = ", ".join(map(str, numbers))
            self._workbench.execute(f"DELETE FROM fresh WHERE object_number IN ({listed})")
            for number in numbers:
                self._damaged.pop(number, None)

    def read(self, bench: Bench, portion: Portion) -> None:
        lines, numbers = portion.lines(), portion.object_numbers()
        if isinstance(portion, ExactPortion):
            is_sound = np.array([portion.damage(i) is None for i in range(len(lines))], dtype=np.bool_)
        else:
            is_sound = np.ones(len(lines), dtype=np.bool_)
            try:
                lines.validate(full=True)
            except pa.ArrowInvalid:
                for number in np.unique(numbers).tolist():
                    self._portions.must_read_exactly(number)
                return
        while is_sound.any():
            sound = pa.array(np.flatnonzero(is_sound))
            whole = bool(is_sound.all())
            columns = {
                "line": lines if whole else lines.take(sound),
                "idx": sound,
                "object_number": pa.array(numbers if whole else numbers[is_sound]),
            }
            with bench.naming(lines=table_of(columns, rows=SHORT_VECTOR)):
                try:
                    self._extract(bench, portion, numbers[is_sound])
                    break
                except duckdb.InvalidInputException:
                    broken = [i for (i,) in bench.rows("SELECT idx FROM lines WHERE NOT json_valid(line)")]
                    if not broken:
                        raise
            if portion.is_exact:
                is_sound[broken] = False
            else:
                for number in {int(numbers[i]) for i in broken}:
                    self._portions.must_read_exactly(number)
                    is_sound &= numbers != number
        if isinstance(portion, ExactPortion):
            with self._counting:
                self._damaged[portion.chunk.obj.number] += int((~is_sound).sum())

    def _extract(self, bench: Bench, portion: Portion, numbers: np.ndarray[tuple[int], np.dtype[np.int32]]) -> None:
        layout = self._learn(bench)
        if layout is None:
            if portion.is_exact:
                bench.execute("INSERT INTO fresh SELECT object_number, NULL, NULL, NULL, NULL FROM lines")
            else:  # a Lambda event, perhaps, with the records inside
                for number in np.unique(numbers).tolist():
                    self._portions.must_read_exactly(number)
            return
        bench.execute(_sql(layout))


def learn_layout(bench: Bench, form: Form | None) -> Layout | None:
    """What most of the first lines of `lines` are, of `form` if that is known; None: nothing known."""
    found: Counter[Layout] = Counter()
    kinds = [form] if form else list(Form)
    for kind in kinds:
        at = _KEYS.get(kind)
        if at is None:
            rows = bench.rows(f"SELECT 1 FROM lines WHERE json_type(line, '/Item') = 'OBJECT' LIMIT {_LOOKED_AT}")
            found[Layout(kind, ())] += len(rows)
            continue
        for attributes, count in bench.rows(
            f"SELECT list_sort(json_keys(line, '{at}')) AS attributes, count(*) FROM (FROM lines LIMIT {_LOOKED_AT}) "
            "WHERE len(attributes) BETWEEN 1 AND 2 GROUP BY ALL ORDER BY 2 DESC, 1"
        ):
            found[Layout(kind, tuple(attributes))] += count
    best = max(found.items(), key=lambda entry: entry[1], default=None)
    return best[0] if best and best[1] else None


def _sql(layout: Layout) -> str:
    if layout.form is Form.ITEMS:
        return render("infer/sql/gather_items.sql", DUCKDB)
    pointers = shape.Pointers()
    keys = [pointers.value(f"{_KEYS[layout.form]}/{shape.escape(a)}") for a in layout.key]
    # An image has members; `{}` and null are none.
    images = [f"CASE WHEN starts_with({v}, '{{\"') THEN {v} END" for v in map(pointers.value, _IMAGES[layout.form])]
    if layout.form is Form.CHANGES:
        arn, name = pointers.value(shape.SOURCE_ARN), pointers.value("/tableName")
        table = f"coalesce({name}, split_part(split_part({arn}, ':table/', 2), '/', 1))"
        sequence = f"sequence_position(stream_prefix(coalesce({arn}, '')), {pointers.value(shape.SEQUENCE_NUMBER)})"
        micros = f"epoch_micros({pointers.value(shape.CREATED_AT)}, {pointers.value(shape.PRECISION)})"
        event = f"{pointers.value(shape.EVENT_NAME)}, coalesce({pointers.value(shape.EVENT_ID)}, md5(line))"
        position = f"coalesce({sequence}, time_position({micros}, {event}))"
    else:
        table = "NULL"
        written = f"coalesce({pointers.value(_MICROS + '/N')}, {pointers.value(_MICROS)})"
        position = f"CASE WHEN regexp_full_match({written}, '[0-9]{{1,20}}') THEN lpad({written}, 20, '0') END"
    return render(
        "infer/sql/gather.sql",
        DUCKDB,
        has_key=Sql(" AND ".join(f"{k} IS NOT NULL" for k in keys)),
        key_text=Sql(" || ' ' || ".join(keys)),
        position=Sql(position),
        image=Sql(f"coalesce({', '.join(images)})"),
        source_table=Sql(table),
        pointers=Sql(pointers.as_list()),
    )


def no_records(label: str) -> UsageError:
    """The error for a place where nothing is a change or an item."""
    return UsageError(
        "nothing here is a change record or an exported item",
        where=label,
        hint="name what Firehose writes (Streams or Kinesis records as JSON), or an export's folder",
    )

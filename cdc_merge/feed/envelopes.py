"""The first pass over a batch: the keys and the position of every record, into the workbench's table `changes`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cdc_merge.errors import MixedFeed, SourceStopped
from cdc_merge.feed import shape
from cdc_merge.feed.chunks import SHORT_VECTOR, Unframed, Unreadable, table_of
from cdc_merge.feed.depth import MAX_LEVELS, too_deep
from cdc_merge.feed.diagnose import DAMAGE, Diagnosis, Special, diagnose
from cdc_merge.feed.framing import MAX_RECORD
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.parts import Parts
from cdc_merge.feed.picks import Picks
from cdc_merge.feed.portions import ExactPortion, Portion, Portions
from cdc_merge.feed.rejects import Reject, Rejects
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.model import Ordering, Source
from cdc_merge.render import Sql, render
from cdc_merge.warehouses.dialect import DUCKDB

Numbers = npt.NDArray[np.int32]

_SAMPLE = 1_000  # lines that are looked at, to learn what is the same for all


@dataclass(frozen=True)
class FeedFacts:
    """What is the same for every record of a source.

    `ordering` and `key_tags` are remembered by the warehouse; `is_kinesis` (records of Kinesis Data Streams
    for DynamoDB, with binary values in base64 twice) is seen anew in each batch. `table_arn` is what the records of
    a stream say, where their ordering had to be learned from them.
    """

    ordering: Ordering | None = None
    key_tags: tuple[str, ...] | None = None
    is_kinesis: bool | None = None
    table_arn: str | None = None

    @property
    def base64_layers(self) -> int:
        return 2 if self.is_kinesis else 1


class EnvelopePass:
    """Reads every record's envelope once. Afterwards `facts` is complete unless no usable record was seen."""

    def __init__(
        self,
        workbench: Workbench,
        crew: Crew,
        portions: Portions,
        rejects: Rejects,
        source: Source,
        facts: FeedFacts,
        picks: Picks = Picks(),  # noqa: B008 - frozen
    ) -> None:
        """`picks`: what else is to be known of each change than its place in the order."""
        self._picks = picks
        self._workbench = workbench
        self._crew = crew
        self._learning = threading.Lock()
        self._portions = portions
        self._rejects = rejects
        self._source = source
        self.facts = facts
        self._changes = Parts(workbench, "changes")

    def _insist_on_ordering(self) -> None:
        asked, known = self._source.ordering, self.facts.ordering
        if asked and known and asked is not known:
            raise MixedFeed(
                f"`ordering: {asked}` is asked for, but the rows of the source are ordered by {known}",
                where=f"source {self._source.name}",
                hint=f"take `ordering` out, or write `ordering: {known}`; the other needs a new source and tables",
            )

    def run(self) -> None:
        """Raises MixedFeed, SourceStopped; anything wrong with single records or objects becomes a reject."""
        self._insist_on_ordering()
        self._crew.work(self._portions.read_fast(), self._read_portion, other=self._note)
        self._forget(self._portions.given_up())
        self._crew.work(self._portions.read_exact(), self._read_portion, other=self._note)
        self._forget_unreadable()
        more = "".join(f", {f.name.text} {f.type.text}" for f in self._picks.facts(shape.Pointers()))
        self._changes.show(
            "chunk INTEGER, idx INTEGER, object_number INTEGER, partition_key VARCHAR, sort_key VARCHAR, "
            f"position VARCHAR{more}"
        )
        self._rejects.flush()

    def _note(self, event: Unreadable | Unframed) -> None:
        match event:
            case Unreadable(number, error):
                self._portions.unreadable[number] = error
            case Unframed(number):
                self._portions.must_read_exactly(number)

    def _forget(self, numbers: Sequence[int]) -> None:
        """Drop all that was read of objects."""
        if numbers:
            listed = ", ".join(map(str, numbers))
            self._changes.delete(f"object_number IN ({listed})")
            self._rejects.forget_objects(numbers)

    def _forget_unreadable(self) -> None:
        """An object that breaks off counts as one reject, and nothing of it is merged."""
        self._forget(list(self._portions.unreadable))
        for number, error in self._portions.unreadable.items():
            self._rejects.add(Reject(number, None, None, error.reason, str(error), None))

    def _read_portion(self, bench: Bench, portion: Portion) -> None:
        lines, numbers = portion.lines(), portion.object_numbers()
        wanted = self._wanted(portion, lines, numbers)
        while len(wanted):
            if len(wanted) < len(lines):
                indexes = pa.array(wanted, pa.int32())
                columns = {
                    "line": lines.take(indexes),
                    "idx": indexes,
                    "object_number": pa.array(numbers[wanted]),
                }
            else:
                columns = {
                    "line": lines,
                    "idx": pa.array(wanted, pa.int32()),
                    "object_number": pa.array(numbers),
                }
            with bench.naming(lines=table_of(columns, rows=SHORT_VECTOR)):
                try:
                    self._extract(bench, portion, too_deep(lines))
                    break
                except duckdb.InvalidInputException:
                    broken = [i for (i,) in bench.rows("SELECT idx FROM lines WHERE NOT json_valid(line)")]
                    if not broken:
                        raise
            wanted = self._without(portion, wanted, numbers, broken)

    def _refuse_deep(self, bench: Bench, portion: Portion, part: str, deep: Sequence[int]) -> None:
        taken = f"FROM {part} WHERE idx IN ({', '.join(map(str, deep))})"
        found = [line for (line,) in bench.rows(f"SELECT idx {taken}")]  # the others are rejects already
        bench.execute(f"DELETE {taken}")
        for line in found:
            self._reject(portion, line, Diagnosis("too_deep", f"more than {MAX_LEVELS:,} levels of nesting"))

    def _wanted(self, portion: Portion, lines: pa.StringArray, numbers: Numbers) -> Numbers:
        """The lines to look at: not those of objects given up, nor those that are no UTF-8 or damaged."""
        if isinstance(portion, ExactPortion):
            sound = []
            for line in range(len(lines)):
                if damage := portion.damage(line):
                    self._reject(portion, line, Diagnosis(damage, DAMAGE[damage]))
                else:
                    sound.append(line)
            return np.array(sound, dtype=np.int32)
        try:
            lines.validate(full=True)
        except pa.ArrowInvalid:
            for number in np.unique(numbers).tolist():
                mine = lines.filter(pa.array(numbers == number))
                try:
                    mine.validate(full=True)
                except pa.ArrowInvalid:
                    self._read_exactly(number)
        for number in np.unique(numbers[_longer_than(lines, MAX_RECORD)]).tolist():
            self._read_exactly(number)
        given_up = [n for n in np.unique(numbers).tolist() if self._portions.is_given_up(n)]
        return np.flatnonzero(~np.isin(numbers, given_up)).astype(np.int32)

    def _without(self, portion: Portion, wanted: Numbers, numbers: Numbers, broken: list[int]) -> Numbers:
        if portion.is_exact:
            for line in broken:
                self._reject(portion, line, Diagnosis("not_json", DAMAGE["not_json"]))
            return wanted[~np.isin(wanted, broken)]
        given_up = {int(numbers[line]) for line in broken}
        for number in given_up:
            self._read_exactly(number)
        return wanted[~np.isin(numbers[wanted], list(given_up))]

    def _extract(self, bench: Bench, portion: Portion, deep: Sequence[int]) -> None:
        with self._learning:
            is_known = self._learn(bench)
        if not is_known:
            unplaced = bench.rows("SELECT idx FROM lines")
        else:
            arn = bench.rows(f"SELECT json_extract_string(line, '{shape.SOURCE_ARN}') FROM lines LIMIT 1")[0][0]
            part = self._changes.add(bench, self._envelope_sql(portion.number, arn))
            unplaced = bench.rows(f"SELECT idx FROM {part} WHERE position IS NULL")
            if unplaced:
                bench.execute(f"DELETE FROM {part} WHERE position IS NULL")
            if deep:
                self._refuse_deep(bench, portion, part, deep)
        for (line,) in unplaced:
            self._judge(portion, line)

    def _judge(self, portion: Portion, line: int) -> None:
        """Find out what is the matter with a record that has no place in an order."""
        number = portion.place(line)[0]
        if self._portions.is_given_up(number) and not portion.is_exact:
            return
        finding = diagnose(
            portion.raw(line),
            key=self._source.key,
            key_tags=self.facts.key_tags,
            is_kinesis=bool(self.facts.is_kinesis),
        )
        match finding:
            case Special.ENVELOPE if not portion.is_exact:
                self._read_exactly(number)
            case Special.ENVELOPE:
                self._reject(portion, line, Diagnosis("unknown_shape", "a list of records inside a list of records"))
            case Special.OTHER_FEED:
                raise self._mixed(portion, line)
            case Diagnosis():
                self._reject(portion, line, finding)

    def _reject(self, portion: Portion, line: int, diagnosis: Diagnosis) -> None:
        number, record, offset = portion.place(line)
        self._rejects.add(Reject(number, record, offset, diagnosis.reason, diagnosis.detail, portion.raw(line)))

    def _read_exactly(self, number: int) -> None:
        if not self._portions.is_given_up(number):
            self._portions.must_read_exactly(number)

    def _learn(self, bench: Bench) -> bool:
        """Learn from the lines what is the same for the whole source; whether all of it is known now."""
        if self.facts.key_tags and self.facts.ordering and self.facts.is_kinesis is not None:
            return True
        lines = bench.rows("SELECT count(*) FROM lines")[0][0]
        # Other threads wait for this, so a few lines from all over the portion will do where they are all alike.
        shapes = self._shapes(bench, every=max(1, lines // _SAMPLE))
        usable = self._usable(shapes)
        if len(shapes) != 1 or not usable:
            shapes = self._shapes(bench, every=1)
            usable = self._usable(shapes)
        if not shapes:
            return False
        is_named = any(set(s[0]) == set(self._source.key) for s in shapes)
        if not usable and self.facts.key_tags:
            usable = shapes  # strangers only: the key is known, so they can be judged one by one
        if not usable and is_named:
            return False
        if not usable:
            raise SourceStopped(
                f"the records have the key attributes {list(shapes[0][0])}, "
                f"the configuration says {list(self._source.key)}",
                where=f"source {self._source.name}",
                hint="set the source's `key` to the table's partition key and, if there is one, sort key",
            )
        _, tags, is_kinesis, _, arn = usable[0]
        found = Ordering.TIME if is_kinesis else Ordering.SEQUENCE
        ordering = self._source.ordering or self.facts.ordering or found
        if ordering is Ordering.SEQUENCE and is_kinesis:
            raise self._mixed(None, 0)
        if self.facts.ordering is Ordering.TIME and self._source.ordering is None and not is_kinesis:
            raise self._mixed(None, 0)
        self.facts = replace(
            self.facts,
            ordering=ordering,
            key_tags=self.facts.key_tags or tuple(tags),
            is_kinesis=is_kinesis,
            table_arn=arn.partition("/stream/")[0] if arn else None,
        )
        return True

    def _shapes(self, bench: Bench, *, every: int) -> list[tuple[Any, ...]]:
        """What the lines are like, the most frequent first, of every so-manieth line.

        (key attributes, their type tags, whether of Kinesis, lines, ARN of the stream).
        """
        key = ", ".join(
            f"json_keys(line, {shape.literal(f'{shape.KEYS}/{shape.escape(a)}')})[1]" for a in self._source.key
        )
        # What every record of a stream has and none of Kinesis does; one of them may be damaged.
        only_streams = (shape.SEQUENCE_NUMBER, shape.VIEW_TYPE, shape.SOURCE_ARN, "/eventVersion")
        kinds = ", ".join(f"json_extract_string(line, '{at}')" for at in only_streams)
        return bench.rows(
            f"""
            SELECT list_sort(json_keys(line, '{shape.KEYS}')) AS attributes, [{key}] AS tags,
                coalesce({kinds}) IS NULL AS is_kinesis, count(*) AS records,
                any_value(json_extract_string(line, '{shape.SOURCE_ARN}')) AS arn
            FROM lines
            WHERE idx % {every} = 0 AND len(json_keys(line, '{shape.KEYS}')) > 0
                AND coalesce(json_extract_string(line, '{shape.SEQUENCE_NUMBER}'),
                    json_extract_string(line, '{shape.CREATED_AT}')) IS NOT NULL
            GROUP BY ALL ORDER BY records DESC, is_kinesis
            """
        )

    def _usable(self, shapes: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Those with the source's key, in types that a key can have."""
        wanted = set(self._source.key)
        return [s for s in shapes if set(s[0]) == wanted and all(t in shape.KEY_TAGS for t in s[1])]

    def _mixed(self, portion: Portion | None, line: int) -> MixedFeed:
        place = f", record {portion.place(line)[1]} of {self._object_key(portion.place(line)[0])}" if portion else ""
        mine, other = "DynamoDB Streams", "Kinesis Data Streams for DynamoDB"
        if self.facts.ordering is Ordering.TIME:
            mine, other = other, mine
        return MixedFeed(
            f"records of {other} lie among those of {mine}; their positions cannot be compared",
            where=f"source {self._source.name}{place}",
            hint="give each feed a prefix and a source of its own; to change over to the other feed, "
            "start a new source with new tables",
        )

    def _object_key(self, number: int) -> str:
        return self._portions.object_key(number)

    def _envelope_sql(self, chunk: int, arn: str | None) -> str:
        pointers = shape.Pointers()
        tags = self.facts.key_tags or ()
        keys = [
            shape.key_text(pointers.value(f"{shape.KEYS}/{shape.escape(a)}/{t}"), t, self.facts.base64_layers)
            for a, t in zip(self._source.key, tags, strict=True)
        ]
        sequence = pointers.value(shape.SEQUENCE_NUMBER)
        if self.facts.ordering is Ordering.SEQUENCE:
            position = f"sequence_position({_prefix(pointers.value(shape.SOURCE_ARN), arn)}, {sequence})"
        else:
            micros = f"epoch_micros({pointers.value(shape.CREATED_AT)}, {pointers.value(shape.PRECISION)})"
            # Without an id of its own an event is known by its bytes.
            event_id = f"coalesce({pointers.value(shape.EVENT_ID)}, md5(line))"
            timed = f"time_position({micros}, {pointers.value(shape.EVENT_NAME)}, {event_id})"
            fits = "IS NULL" if self.facts.is_kinesis else "IS NOT NULL"
            position = f"CASE WHEN {sequence} {fits} THEN {timed} END"
        more = self._picks.facts(pointers)
        return render(
            "feed/sql/envelopes.sql",
            DUCKDB,
            chunk=chunk,
            facts=more,
            partition_key=Sql(keys[0]),
            sort_key=Sql(keys[1] if len(keys) > 1 else "''"),
            position=Sql(position),
            pointers=Sql(pointers.as_list()),
        )


def _prefix(value: str, usual: str | None) -> str:
    """The stream's label and a slash. Nearly all records have one and the same ARN, which need not be cut anew."""
    general = f"stream_prefix(coalesce({value}, ''))"
    if usual is None:
        return general
    label = usual.partition("/stream/")[2].replace("\x00", "")
    return f"CASE WHEN {value} = {shape.literal(usual)} THEN {shape.literal(label + '/')} ELSE {general} END"


def _longer_than(lines: pa.StringArray, size: int) -> npt.NDArray[np.bool_]:
    """Which lines have more bytes than that."""
    return np.asarray(pc.binary_length(lines)) > size

"""The first pass over a batch: the keys and the position of every record, into the workbench's table `changes`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cdc_merge.errors import MixedFeed
from cdc_merge.feed import shape
from cdc_merge.feed.changes import STORE_SHARE, Changes, LeftOut
from cdc_merge.feed.chunks import SHORT_VECTOR, Unframed, Unreadable, table_of
from cdc_merge.feed.depth import MAX_LEVELS, too_deep
from cdc_merge.feed.diagnose import DAMAGE, Diagnosis, Special, diagnose
from cdc_merge.feed.facts import FeedFacts, learn, mixed_feed
from cdc_merge.feed.framing import MAX_RECORD
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.picks import Picks
from cdc_merge.feed.portions import ExactPortion, Portion, Portions
from cdc_merge.feed.rejects import Reject, Rejects
from cdc_merge.feed.texts import Rows, Texts
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.model import Ordering, Source
from cdc_merge.native.changes import Added
from cdc_merge.render import Sql, render
from cdc_merge.warehouses.dialect import DUCKDB

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Met:
    """Changes of a portion, as they were added; `lines`: of those that are the newest of their keys so far."""

    portion: Portion
    facts: FeedFacts
    changes: Changes
    added: Added
    lines: Numbers


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
        *,
        early: Callable[[Bench, Met], None] | None = None,
    ) -> None:
        """`picks`: what else is to be known of each change than its place in the order.

        `early`: is told of what was met, from the thread that has its lines at hand.
        """
        self._early = early
        self._picks = picks
        self._workbench = workbench
        self._crew = crew
        self._learning = threading.Lock()
        self._portions = portions
        self._rejects = rejects
        self._source = source
        self.facts = facts
        more = "".join(f", {f.name.text} {f.type.text}" for f in self._picks.facts(shape.Pointers()))
        self.changes = Changes(workbench, memory=int(source.memory * STORE_SHARE), more=more)
        self._texts = Texts()

    def _insist_on_ordering(self) -> None:
        asked, known = self._source.ordering, self.facts.ordering
        if asked and known and asked is not known:
            raise MixedFeed(
                f"`ordering: {asked}` is asked for, but the rows of the source are ordered by {known}",
                where=f"source {self._source.name}",
                hint=f"take `ordering` out, or write `ordering: {known}`; the other needs a new source and tables",
            )

    def run(self) -> None:
        """Raises MixedFeed, SourceStopped and what `early` does; damaged records and objects become rejects."""
        self._insist_on_ordering()
        self._crew.work(self._portions.read_fast(), self._read_portion, other=self._note)
        self._forget(self._portions.given_up())
        self._crew.work(self._portions.read_exact(), self._read_portion, other=self._note)
        self._forget_unreadable()
        self._rejects.flush()
        self._texts = Texts()  # without the memory of this pass

    def _note(self, event: Unreadable | Unframed) -> None:
        match event:
            case Unreadable(number, error):
                self._portions.unreadable[number] = error
            case Unframed(number):
                self._portions.must_read_exactly(number)

    def _forget(self, numbers: Sequence[int]) -> None:
        """Drop all that was read of objects."""
        if numbers:
            self.changes.forget(numbers)
            self._rejects.forget_objects(numbers)

    def _forget_unreadable(self) -> None:
        """An object that breaks off counts as one reject, and nothing of it is merged."""
        self._forget(list(self._portions.unreadable))
        for number, error in self._portions.unreadable.items():
            self._rejects.add(Reject(number, None, None, error.reason, str(error), None))

    def _read_portion(self, bench: Bench, portion: Portion) -> None:
        lines, numbers = portion.lines(), portion.object_numbers()
        wanted = self._wanted(portion, lines, numbers)
        wanted = self._add_plain(bench, portion, lines, numbers, wanted)
        while len(wanted):
            at_hand = _at_hand(lines, numbers, wanted)
            with bench.naming(lines=at_hand):
                try:
                    self._extract(bench, portion, at_hand, too_deep(lines))
                    break
                except duckdb.InvalidInputException:
                    broken = [i for (i,) in bench.rows("SELECT idx FROM lines WHERE NOT json_valid(line)")]
                    if not broken:
                        raise
            wanted = self._without(portion, wanted, numbers, broken)

    def _add_plain(
        self, bench: Bench, portion: Portion, lines: pa.StringArray, numbers: Numbers, wanted: Numbers
    ) -> Numbers:
        """Add what the native program is sure of; returns the lines that are left."""
        if not len(wanted) or not self.changes.are_native:
            return wanted
        if not self.facts.are_known:
            with bench.naming(lines=_at_hand(lines, numbers, wanted)):
                try:
                    self._learn(bench)
                except duckdb.InvalidInputException:  # it is told further on which line is no JSON
                    return wanted
        if self.facts.ordering is not Ordering.SEQUENCE or set(self.facts.key_tags or ()) != {"S"}:
            return wanted
        pointers = shape.Pointers()
        for attribute in self._source.key:
            pointers.value(f"{shape.KEYS}/{shape.escape(attribute)}/S")
        for place in (shape.SEQUENCE_NUMBER, shape.SOURCE_ARN):
            pointers.value(place)
        picked = None if len(wanted) == len(lines) else wanted
        found = self._texts.find(pointers, lines, picked, are_text=True)
        if found is None:
            return wanted
        added = self.changes.add_records(
            found,
            has_sort_key=len(self._source.key) > 1,
            chunk=portion.number,
            lines=picked,
            objects=numbers if picked is None else numbers[picked],
        )
        if added is None:
            return wanted
        del found  # its memory is used again
        if self._early:
            self._early(bench, Met(portion, self.facts, self.changes, added, wanted[added.rows]))
        return wanted[np.sort(added.left)]

    def _learn(self, bench: Bench) -> None:
        with self._learning:  # the other threads wait for what the first portion tells
            if not self.facts.are_known:
                self.facts = learn(bench, self._source, self.facts)

    def _wanted(self, portion: Portion, lines: pa.StringArray, numbers: Numbers) -> Numbers:
        """The lines to look at: not those of objects given up, nor those that are no UTF-8 or damaged.

        So all of them are UTF-8.
        """
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

    def _extract(self, bench: Bench, portion: Portion, at_hand: pa.Table, deep: Sequence[int]) -> None:
        self._learn(bench)
        if not self.facts.are_known:
            left_out = LeftOut(unplaced=at_hand.column("idx").to_pylist())
        else:
            left_out = self._add(bench, portion, at_hand, deep)
        for line in left_out.refused:
            self._reject(portion, line, Diagnosis("too_deep", f"more than {MAX_LEVELS:,} levels of nesting"))
        for line in left_out.unplaced:
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
                number, record, _ = portion.place(line)
                at = f"record {record} of {self._portions.object_key(number)}"
                raise mixed_feed(self._source, self.facts, at)
            case Diagnosis():
                self._reject(portion, line, finding)

    def _reject(self, portion: Portion, line: int, diagnosis: Diagnosis) -> None:
        number, record, offset = portion.place(line)
        self._rejects.add(Reject(number, record, offset, diagnosis.reason, diagnosis.detail, portion.raw(line)))

    def _read_exactly(self, number: int) -> None:
        if not self._portions.is_given_up(number):
            self._portions.must_read_exactly(number)

    def _add(self, bench: Bench, portion: Portion, at_hand: pa.Table, deep: Sequence[int]) -> LeftOut:
        """Add what the lines say, by SQL."""
        arn = bench.rows(f"SELECT json_extract_string(line, '{shape.SOURCE_ARN}') FROM lines LIMIT 1")[0][0]
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
        columns = "l.idx, l.object_number, l.line"
        rows = Rows(portion.lines(), source="lines AS l", columns=columns, given=at_hand, are_text=True)
        with self._texts.looked(bench, rows, pointers) as looked:
            return self.changes.add(
                bench,
                render(
                    "feed/sql/envelopes.sql",
                    DUCKDB,
                    chunk=portion.number,
                    facts=more,
                    partition_key=Sql(keys[0]),
                    sort_key=Sql(keys[1] if len(keys) > 1 else "''"),
                    position=Sql(position),
                    looked=looked,
                ),
                chunk=portion.number,
                refused=deep,
            )


def _prefix(value: str, usual: str | None) -> str:
    """The stream's label and a slash. Nearly all records have one and the same ARN, which need not be cut anew."""
    general = f"stream_prefix(coalesce({value}, ''))"
    if usual is None:
        return general
    label = usual.partition("/stream/")[2].replace("\x00", "")
    return f"CASE WHEN {value} = {shape.literal(usual)} THEN {shape.literal(label + '/')} ELSE {general} END"


def _at_hand(lines: pa.StringArray, numbers: Numbers, wanted: Numbers) -> pa.Table:
    """Some of the lines, in their order, with what goes along with each."""
    idx = pa.array(wanted, pa.int32())
    if len(wanted) < len(lines):
        lines, numbers = lines.take(idx), numbers[wanted]
    return table_of({"line": lines, "idx": idx, "object_number": pa.array(numbers)}, rows=SHORT_VECTOR)


def _longer_than(lines: pa.StringArray, size: int) -> npt.NDArray[np.bool_]:
    """Which lines have more bytes than that."""
    return np.asarray(pc.binary_length(lines)) > size

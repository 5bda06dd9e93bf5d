"""The statements that decode a batch in the warehouse: raw records → newest change of each key → staging tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cdc_merge.feed import shape
from cdc_merge.model import Evolve, Kind, Ordering, Source
from cdc_merge.raw.conditions import could_take, entity
from cdc_merge.raw.layout import TargetLayout, lay_out
from cdc_merge.raw.looks import IMAGE, Looks, Steps, is_spellable
from cdc_merge.raw.probe import PROBED, QUESTIONS
from cdc_merge.raw.values import key_text, moment, ticks
from cdc_merge.raw.words import words_of
from cdc_merge.render import Sql, render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses import Row, Statement
from cdc_merge.warehouses.dialect import Dialect

RAW = "_cdc_raw"
"""The table of raw records; what they are is in its column `document`."""

_MOST_NAMES = 1_000  # attributes without a column, in one batch

# What ARNs and the ids of events are made of. Positions are compared as texts, and there blanks at an end do not count,
# nor says any page where a control character then comes: r_Character_types.html
_USUAL = "'^[A-Za-z0-9:/._-]+$'"
_SEQUENCE = "'^[0-9]{1,40}$'"


class InDoubt(Exception):
    """SQL cannot decode a batch exactly: the worker does. `why`: a few words for the log and the metrics."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass
class Found:
    """What decoding found. The rows themselves are in `_cdc_keys` and `_cdc_rows_<i>`."""

    records: int = 0
    latest: int = 0
    newest_change_at: datetime | None = None
    unmatched: list[tuple[str, int]] = field(default_factory=list)


class Decoding:
    """Decodes one batch of a source. Pure but for `found`, which what the warehouse answers is put into."""

    def __init__(
        self,
        source: Source,
        books: Sequence[SchemaBook],
        dialect: Dialect,
        *,
        ordering: Ordering,
        key_tags: Sequence[str],
    ) -> None:
        self._source = source
        self._books = tuple(books)
        self._dialect = dialect
        self._ordering = ordering
        self._key_tags = tuple(key_tags)
        self._words = words_of(dialect)
        # Records of Kinesis Data Streams: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html
        self._layers = 2 if ordering is Ordering.TIME else 1
        self.found = Found()

    def foreseen(self) -> list[Statement]:
        """Those of the statements that make tables."""
        targets = self._lay_out(Looks("s.image", self._dialect), ())
        return [
            self._make("changes"),
            self._make("newest"),
            self._make("wide", targets=targets),
            self._make("keys", targets=targets),
            *(self._make("rows", target.number, target=target) for target in targets),
        ]

    def statements(self) -> Iterator[Statement]:
        """To be run one after the other, as later ones depend on what earlier ones found. They raise InDoubt."""
        for setting in self._words.settings:
            yield Statement(f"set {setting}", f"SET {setting} TO TRUE")
        yield self._probe()
        yield self._make("changes")
        yield self._fill("changes", **self._envelopes())
        yield Statement("count changes", self._render("count_changes"), inspect=self._count_changes)
        yield self._make("newest")
        yield self._fill("newest")
        names = list[str]()
        if any(b.target.evolve is Evolve.FREEZE for b in self._books):
            sql = self._render("attributes", most=_MOST_NAMES + 1)
            yield Statement("find attributes", sql, inspect=lambda rows: names.extend(self._names(rows)))
        looks = Looks("s.image", self._dialect)
        targets = self._lay_out(looks, names)
        seems = entity(self._source, self._key_tags, looks)
        yield self._make("wide", targets=targets)
        yield self._fill(
            "wide",
            targets=targets,
            looks=looks,
            entity={"answer": Sql(seems.answer), "doubts": [Sql(d) for d in seems.doubts]},
        )
        yield Statement("count rows", self._render("count_wide", targets=targets), inspect=self._count_rows)
        yield Statement("compare copies", self._differing(targets), inspect=_insist_on_copies)
        could = could_take([b.target for b in self._books], self._source.key, self._key_tags, self._dialect)
        yield self._make("keys", targets=targets)
        yield self._fill("keys", targets=targets, could=Sql(could))
        for target in targets:
            yield self._make("rows", target.number, target=target)
            yield self._fill("rows", target.number, target=target)
        sql = self._render("unmatched", targets=targets)
        yield Statement("find unmatched", sql, inspect=self.found.unmatched.extend)
        for setting in self._words.settings:
            yield Statement(f"reset {setting}", f"RESET {setting}")

    def _lay_out(self, looks: Looks, names: Collection[str]) -> list[TargetLayout]:
        return [
            lay_out(i, b, self._key_tags, looks, names=names, base64_layers=self._layers)
            for i, b in enumerate(self._books)
        ]

    # --- the statements ----------------------------------------------------------------------------------

    def _render(self, template: str, **values: Any) -> str:
        types = self._dialect.types
        text = f"{types[Kind.TEXT]} {self._dialect.byte_order}".strip()
        names = {"text": Sql(text), "moment": Sql(types[Kind.TIMESTAMP]), "document": Sql(types[Kind.JSON])}
        return render(f"raw/sql/{template}.sql", self._dialect, **names, **values)

    def _make(self, table: str, number: int | None = None, **values: Any) -> Statement:
        return Statement(f"create {_called(table, number)}", self._render(f"create_{table}", **values))

    def _fill(self, table: str, number: int | None = None, **values: Any) -> Statement:
        return Statement(f"fill {_called(table, number)}", self._render(table, **values))

    def _probe(self) -> Statement:
        looks = Looks("r.document", self._dialect)
        questions = [Sql(question(looks)) for question in QUESTIONS]
        parsed = self._words.parsed.format(text=self._dialect.literal(PROBED))
        sql = self._render("probe", looks=looks, questions=questions, parsed=Sql(parsed))
        return Statement("probe", sql, inspect=_insist_on_answers)

    def _envelopes(self) -> dict[str, Any]:
        """What the template of `changes` prints."""
        looks = Looks("r.document", self._dialect)
        keys = [
            Sql(key_text(tag, looks.text((*_steps(shape.KEYS), attribute, tag)), looks))
            for attribute, tag in zip(self._source.key, self._key_tags, strict=True)
        ]
        created, unit = _steps(shape.CREATED_AT), _steps(shape.PRECISION)
        digits, unit_name = looks.number(created), looks.text(unit)
        order = self._by_sequence(looks) if self._ordering is Ordering.SEQUENCE else self._by_time(looks)
        untimed = f"({looks.is_there(created)} AND changed_at IS NULL) OR {looks.is_unsure(unit, looks.text)}"
        return {
            "partition_key": keys[0],
            "sort_key": keys[1] if len(keys) > 1 else Sql("''"),
            "event": Sql(looks.text(_steps(shape.EVENT_NAME))),
            "ticks": Sql(ticks(digits, looks)),
            "unit": Sql(unit_name),
            "changed_at": Sql(moment("micros", self._words)),
            "untimed": Sql(untimed),
            "width": Sql(looks.width(IMAGE)),
            "image": Sql(looks.navigation(IMAGE)),
            **order,
            "looks": looks,
        }

    def _by_sequence(self, looks: Looks) -> dict[str, Any]:
        """The stream's label and a slash, then the sequence number in 40 digits."""
        arn, number = _steps(shape.SOURCE_ARN), looks.text(_steps(shape.SEQUENCE_NUMBER))
        place = f"POSITION('/stream/' IN {looks.text(arn)})"
        label = f"SUBSTRING({looks.text(arn)}, {place} + 8)"
        prefix = f"CASE WHEN {place} > 0 THEN {label} || '/' ELSE '/' END"
        is_usual = looks.matches(looks.text(arn), _USUAL)
        return {
            "is_sure": Sql(f"{looks.matches(number, _SEQUENCE)} AND (NOT {looks.is_there(arn)} OR {is_usual})"),
            "position": Sql(f"{prefix} || LPAD({number}, 40, '0')"),
            "strangers": None,
        }

    def _by_time(self, looks: Looks) -> dict[str, Any]:
        """The microseconds in 20 digits; at equal times a delete comes after an upsert, then the event's id tells."""
        event_id = looks.text(_steps(shape.EVENT_ID))
        ways = (shape.SEQUENCE_NUMBER, shape.VIEW_TYPE, shape.SOURCE_ARN, "/eventVersion")
        rank = "CASE event WHEN 'REMOVE' THEN '/1/' ELSE '/0/' END"
        return {
            "is_sure": Sql(f"micros >= 0 AND {looks.matches(event_id, _USUAL)}"),
            "position": Sql(f"LPAD(CAST(micros AS {self._dialect.types[Kind.TEXT]}), 20, '0') || {rank} || {event_id}"),
            # What only records of a stream have: the worker says what is to be done about them.
            "strangers": Sql(" OR ".join(looks.is_there(_steps(way)) for way in ways)),
        }

    def _differing(self, targets: Sequence[TargetLayout]) -> str:
        def same(a: str, b: str) -> Sql:
            return Sql(self._dialect.same.format(a=a, b=b))

        def same_text(a: str, b: str) -> Sql:
            return Sql(self._dialect.same_text.format(a=a, b=b))

        return self._render("differing", targets=targets, same=same, same_text=same_text)

    # --- what the warehouse answers ----------------------------------------------------------------------

    def _count_changes(self, rows: list[Row]) -> None:
        if doubts := sorted(str(doubt) for doubt, _ in rows if doubt is not None):
            raise InDoubt(f"records whose {' or '.join(doubts)} is not plain")
        self.found.records = sum(int(count) for _, count in rows)

    def _names(self, rows: list[Row]) -> list[str]:
        names = [str(name) for (name,) in rows]
        if len(names) > _MOST_NAMES or not all(is_spellable(name, self._dialect) for name in names):
            raise InDoubt("attributes that no path leads to")
        return names

    def _count_rows(self, rows: list[Row]) -> None:
        ((latest, strange, newest, *doubts),) = rows
        for book, doubt in zip(self._books, doubts, strict=True):
            if doubt:
                raise InDoubt(f"items whose row in {book.target.table} is not plain")
        if strange:
            raise InDoubt("items whose entity is not plain")
        self.found.latest, self.found.newest_change_at = int(latest), newest


def _called(table: str, number: int | None) -> str:
    return f"_cdc_{table}" + ("" if number is None else f"_{number}")


def _steps(pointer: str) -> Steps:
    return tuple(pointer.strip("/").split("/"))


def _insist_on_copies(rows: list[Row]) -> None:
    if rows[0][0]:
        raise InDoubt("changes at one position that differ")


def _insist_on_answers(rows: list[Row]) -> None:
    if failed := [str(number) for number, answer in enumerate(rows[0], start=1) if answer is not True]:
        raise InDoubt(f"the session does not read documents as it must (probe {', '.join(failed)})")


__all__ = ["RAW", "Decoding", "Found", "InDoubt"]

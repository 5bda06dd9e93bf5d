"""Random histories of a few items, and random ways of delivering them, as hypothesis strategies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from hypothesis import strategies as st

from cdc_merge.model import Ordering
from tests.support.records import Record, kinesis_record, stream_record

Unit = Literal["MILLISECOND", "MICROSECOND"] | None
Batches = list[list[list[Record]]]
"""Batches of objects of records."""

# Keys that collations, quoting, JSON and paths trip over. The two é are one character and two.
NASTY = (
    "a",
    "A",
    "B",
    "ä",
    "é",
    "e\u0301",
    "a b",
    "a'b",
    'a"b',
    "a\\b",
    "a/b",
    "a#b",
    "a.b",
    "~0",
    "ß",
    "\u2028",
    "🛒",
)
TEXT_KEYS = st.sampled_from([*(f"CUSTOMER#{c}" for c in NASTY), *NASTY, "10", "9", "null"])
NUMBER_KEYS = st.sampled_from([Decimal(n) for n in ("0", "1", "10", "-1", "1.5", "10000000000000000000", "0.001")])
BINARY_KEYS = st.sampled_from([b"\x00", b"\xff\xfe", b"a", b"placeholder_bytes"])
NAMES = st.sampled_from(["Name", "name", "Email address", "a.b", "Größe", "Total", "x", '"'])

# 38 digits are the most: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
NUMBERS = st.sampled_from(
    [
        *("0", "1", "-1", "42", "0.1", "-12.50", "9007199254740993", "9223372036854775808"),
        *("12345678901234567890123456789012345678", "0.12345678901234567890123456789012345678"),
        *("1E+20", "1.5E-10", "1E-130", "9.9999999999999999999999999999999999999E+125"),
    ]
).map(Decimal)
TEXTS = st.sampled_from(
    [
        "",
        " ",
        "a",
        "NULL",
        "null",
        "true",
        "1",
        "1.0",
        "2026-01-02T03:04:05Z",
        "{}",
        "[1]",
        '{"a":1}',
        "\\",
        '"',
        "\t\n",
        "ä🛒",
    ]
) | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5)
BINARIES = st.sampled_from([b"", b"\x00", b"\xff", b"text"])
SETS = (
    st.frozensets(st.sampled_from(["b", "a", "ä", "B", "🛒", "\ufb03"]), min_size=1, max_size=3)
    | st.frozensets(st.sampled_from([Decimal(n) for n in ("2", "10", "-1", "0.5")]), min_size=1, max_size=3)
    | st.frozensets(st.sampled_from([b"b", b"a", b"\xff"]), min_size=1, max_size=2)
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS | BINARIES
VALUES = (
    SCALARS
    | SETS
    | st.recursive(
        SCALARS | SETS, lambda v: st.lists(v, max_size=2) | st.dictionaries(NAMES, v, max_size=2), max_leaves=3
    )
)


def images(types: Sequence[str | None] = ("Customer", "Order", "Other", None)) -> st.SearchStrategy[dict[str, Any]]:
    """An item without its key: a `Type` (None: without one) and a few attributes of any type."""
    attributes = st.dictionaries(NAMES, VALUES, max_size=4)
    return st.builds(
        lambda t, rest: rest if t is None else {"Type": t, **rest}, st.sampled_from(list(types)), attributes
    )


@st.composite
def histories(
    draw: st.DrawFn,
    *,
    key: Mapping[str, st.SearchStrategy[Any]] | None = None,
    ordering: Ordering = Ordering.SEQUENCE,
    image: st.SearchStrategy[dict[str, Any]] | Callable[[int], st.SearchStrategy[dict[str, Any]]] | None = None,
    min_keys: int = 1,
    max_keys: int = 4,
    min_changes: int = 1,
    max_changes: int = 12,
) -> list[Record]:
    """The distinct changes of a few items in the order they happened; each once, with its own position.

    `key`: attribute -> strategy of its values, each of one type; default PK and SK of nasty text. `image`: of an item
    without its key; a function gives that of the change with a number, so that a schema can move.
    INSERT only where the item is not there, MODIFY and REMOVE only where it is. A stream may be renewed on the
    way: then sequence numbers begin low again, under a later label. Kinesis times may tie at different events.
    """
    key = key or {"PK": TEXT_KEYS, "SK": TEXT_KEYS}
    of_all = images() if image is None else image
    image_of = of_all if callable(of_all) else lambda _: of_all
    keys = draw(st.lists(st.fixed_dictionaries(dict(key)), min_size=min_keys, max_size=max_keys, unique_by=_sorted))
    moves = draw(
        st.lists(
            st.tuples(st.integers(0, len(keys) - 1), st.integers(0, 9)), min_size=min_changes, max_size=max_changes
        )
    )
    clock = _SequenceClock(draw) if ordering is Ordering.SEQUENCE else _TimeClock(draw)
    alive: dict[int, dict[str, Any]] = {}
    records: list[Record] = []
    for which, dice in moves:
        old = alive.pop(which, None)
        new = None if old is not None and dice < 3 else draw(image_of(len(records)))
        if new is not None:
            alive[which] = new
        records.append(clock.record(keys[which], new, old))
    return records


@st.composite
def deliveries(draw: st.DrawFn, records: Sequence[Record], *, lossy: bool = False) -> Batches:
    """The records in any order, some of them twice, cut into objects and batches; `lossy`: some never."""
    kept = list(records)
    if lossy:
        keep = draw(st.lists(st.booleans(), min_size=len(kept), max_size=len(kept)))
        kept = [record for record, is_kept in zip(kept, keep, strict=True) if is_kept] or kept[:1]
    again = draw(st.lists(st.sampled_from(range(len(kept))), max_size=3))
    order = draw(st.permutations(range(len(kept) + len(again))))
    flat = [(kept + [kept[i] for i in again])[i] for i in order]
    return _cut(draw, _cut(draw, flat))


def flatten(batches: Batches) -> list[Record]:
    """All records that were delivered."""
    return [record for batch in batches for obj in batch for record in obj]


def _sorted(keys: dict[str, Any]) -> str:
    return repr(sorted(keys.items()))  # hypothesis puts the attributes in any order, as AWS may


def _cut(draw: st.DrawFn, things: list[Any]) -> list[list[Any]]:
    cuts = sorted(draw(st.sets(st.integers(1, len(things) - 1), max_size=2))) if len(things) > 1 else []
    return [things[a:b] for a, b in zip([0, *cuts], [*cuts, len(things)], strict=True)]


class _SequenceClock:
    """Sequence numbers that grow, now and then by many digits; the label changes at most once."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._gaps = iter(draw(st.lists(st.sampled_from([1, 7, 10**21, 10**25, 10**38]), min_size=4, max_size=4)))
        self._renewal = draw(st.sampled_from([None, None, 2, 4]))
        self._sequence = 10**21 - 2
        self._label = "2026-01-01T00:00:00.000"
        self._count = 0

    def record(self, keys: dict[str, Any], new: dict[str, Any] | None, old: dict[str, Any] | None) -> Record:
        self._count += 1
        self._sequence += next(self._gaps, 3)
        if self._count == self._renewal:
            self._sequence, self._label = 111, "2026-01-02T00:00:00.000"
        at = 1767225600 + self._count // 3  # many changes in a second
        return stream_record(keys, new, old_image=old, sequence=self._sequence, at=at, arn_label=self._label)


class _TimeClock:
    """Times that never go back, in milli- or microseconds, with and without the field that says so."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._steps = iter(draw(st.lists(st.sampled_from([0, 0, 1000, 5000]), min_size=6, max_size=6)))
        units: list[Unit] = [None, "MILLISECOND", "MICROSECOND"]
        self._units = draw(st.sampled_from([units, *([unit] for unit in units)]))
        self._micros = 1767225600_000_000
        self._count = 0

    def record(self, keys: dict[str, Any], new: dict[str, Any] | None, old: dict[str, Any] | None) -> Record:
        self._count += 1
        self._micros += next(self._steps, 1000)
        unit = self._units[self._count % len(self._units)]
        at = self._micros if unit == "MICROSECOND" else self._micros // 1000
        event_id = f"00000000-0000-4000-8000-{self._count:012d}"
        return kinesis_record(keys, new, old_image=old, at=at, precision=unit, event_id=event_id)

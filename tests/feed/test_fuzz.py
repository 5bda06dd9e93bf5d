"""No bytes make decoding fail or cost a neighbouring record, and the books of a batch always balance."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cdc_merge.errors import SourceStopped
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.decode import Decoded, decode
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.workbench import Workbench
from cdc_merge.model import BatchLimits, Column, ColumnType, Evolve, Kind, ObjectRef, Ordering, Source, Target, TimeUnit
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses.dialect import DUCKDB, POSTGRES, Dialect
from tests.support.decoding import READERS, choose
from tests.support.records import Record, Style, compress, encode, frame, stream_record

EXAMPLES = int(os.environ.get("CDC_MERGE_EXAMPLES", "12"))
T0 = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = Source("fuzz", "", ("PK",), (Target("items"),), batch=BatchLimits(bytes=1_000_000))
KNOWN = FeedFacts(Ordering.SEQUENCE, ("S",))  # as after a first good batch
STYLES: list[Style] = ["ndjson", "concatenated", "crlf", "pretty", "lambda"]


@pytest.fixture(autouse=True, params=READERS)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the lines."""
    choose(monkeypatch, request.param)


def put(key: str, sequence: int, **attributes: Any) -> Record:
    return stream_record({"PK": key}, attributes, sequence=sequence, at=T0)


class Batch:
    """What came of one batch."""

    def __init__(self, decoded: Decoded, keys: dict[str, str], rejected: list[tuple[int, int | None, bytes | None]]):
        self.decoded = decoded
        self.keys = keys  # position by partition key
        self.rejected = rejected  # (object number, record, bytes)


def decode_all(folder: Path, bodies: Sequence[bytes], *, dialect: Dialect = DUCKDB, facts: FeedFacts = KNOWN) -> Batch:
    """Decode objects on a workbench of their own; the books must balance."""
    objects = []
    for number, body in enumerate(bodies):
        path = folder / str(number)
        path.write_bytes(body)
        objects.append(LocalObject(number, ObjectRef(str(number), "v", len(body), T0), path))
    books = [open_book(t, SOURCE.key, dialect, None) for t in SOURCE.targets]
    with Workbench(memory=200_000_000) as workbench:
        decoded = decode(workbench, objects, source=SOURCE, facts=facts, books=books, dialect=dialect)
        keys = workbench.rows("SELECT partition_key, position FROM stage_keys")
        rejected = workbench.rows("SELECT object_number, record, raw FROM rejected")
        rows = workbench.rows("SELECT count(*), count(DISTINCT n) FROM stage_rows_0")[0]
    assert len(keys) == len(dict(keys)) == decoded.latest
    assert rows[0] == rows[1] <= decoded.latest
    assert decoded.quarantined == len(rejected)
    assert decoded.superseded >= 0
    assert (
        decoded.records == sum(decoded.records_of.values()) == decoded.latest + decoded.superseded + decoded.quarantined
    )
    assert max(Counter((o, r) for o, r, _ in rejected).values(), default=1) == 1, "a record is rejected twice"
    return Batch(decoded, dict(keys), rejected)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


GOOD = [frame([put(f"{style}{n}", n, v="x") for n in range(3)], style) for style in STYLES]
GOOD_KEYS = {f"{style}{n}" for style in STYLES for n in range(3)}

fragments = st.sampled_from(
    [
        *[
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b"\\",
            b",",
            b":",
            b"\n",
            b"\r\n",
            b" ",
            b"}{",
            b"}\n{",
            b"null",
            b"true",
            b"1e9",
        ],
        *[
            b'{"Records":[',
            b'{"dynamodb":',
            b'{"eventName":"INSERT"',
            b'"Keys":{',
            b'"PK":{"S":"',
            b'"NewImage":{',
            b"]}",
        ],
        *[
            b"\x1f\x8b",
            b"PK\x03\x04",
            b"PAR1",
            b"\x28\xb5\x2f\xfd",
            b"\xff\x06\x00\x00sNaPpY",
            b"\x00",
            b"\xff",
            b"\xef\xbb\xbf",
        ],
        *[b"\\u0000", b"\\ud800", b"\xed\xa0\x80", "ü😀".encode()],
        encode(put("fragment", 1, v="x")),
    ]
)
garbage = st.one_of(st.binary(max_size=300), st.lists(fragments, max_size=15).map(b"".join))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good object with some bytes removed, changed, repeated or put in."""
    body = bytearray(
        frame([put(f"m{n}", n, v="}{", m={"a": [1, None]}) for n in range(3)], draw(st.sampled_from(STYLES)))
    )
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(body) - 1, 0)))
        length = draw(st.integers(0, 40))
        match draw(st.sampled_from(["cut", "drop", "put", "repeat", "flip"])):
            case "cut":
                del body[at:]
            case "drop":
                del body[at : at + length]
            case "put":
                body[at:at] = draw(fragments)
            case "repeat":
                body[at:at] = body[at : at + length]
            case "flip" if body:
                body[at] = draw(st.integers(0, 255))
    return compress(bytes(body), draw(st.sampled_from(["none", "none", "gzip", "zstd", "snappy"])))


@settings(max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(bad=st.lists(st.one_of(garbage, mutated()), min_size=1, max_size=5), dialect=st.sampled_from([DUCKDB, POSTGRES]))
@example(bad=[b"[]"], dialect=DUCKDB)
# DuckDB's message quotes the beginning, and cuts it within a character.
@example(bad=[b"\0" * shift + "😀".encode() * 50 for shift in range(4)], dialect=DUCKDB)
@example(bad=[encode(put("lost", 1)).replace(b"SequenceNumber", b"SequenceNum")], dialect=DUCKDB)
def test_no_bytes_cost_a_neighbour_its_records(folder: Path, bad: list[bytes], dialect: Dialect) -> None:
    bodies = [body for pair in zip(GOOD, [*bad, *[b""] * len(GOOD)], strict=False) for body in pair]
    batch = decode_all(folder, bodies, dialect=dialect)
    assert batch.keys.keys() >= GOOD_KEYS


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(bad=st.lists(st.one_of(garbage, mutated()), min_size=1, max_size=5))
def test_a_batch_of_bad_bytes_alone_is_decoded_or_stops_its_source(folder: Path, bad: list[bytes]) -> None:
    for facts in (FeedFacts(), KNOWN):
        with suppress(SourceStopped):
            decode_all(folder, bad, facts=facts)


@settings(max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), style=st.sampled_from(["ndjson", "concatenated", "crlf", "lambda"]))
def test_a_damaged_record_costs_no_other_in_its_object(folder: Path, data: st.DataObject, style: Style) -> None:
    good = [encode(put(f"good{n}", n, v="x", m={"a": []})) for n in range(4)]
    victim = bytearray(encode(put("victim", 9, v="x", m={"a": [1, None], "b": "}{"})))
    at = data.draw(st.integers(1, len(victim) - 1))
    match data.draw(st.sampled_from(["cut", "drop", "flip"])):
        case "cut":
            del victim[at:]
        case "drop":
            del victim[at : at + data.draw(st.integers(1, 20))]
        case "flip":
            victim[at] = data.draw(st.integers(0, 255))
    place = data.draw(st.integers(0, 4))
    batch = decode_all(folder, [frame([*good[:place], bytes(victim), *good[place:]], style)])
    assert batch.keys.keys() >= {f"good{n}" for n in range(4)}


# --- values ---------------------------------------------------------------------------------------------

TYPES = {
    "text": ColumnType(Kind.TEXT),
    "integer": ColumnType(Kind.INTEGER),
    "numeric": ColumnType(Kind.NUMERIC),
    "money": ColumnType(Kind.NUMERIC, 12, 2),
    "double": ColumnType(Kind.DOUBLE),
    "boolean": ColumnType(Kind.BOOLEAN),
    "timestamp": ColumnType(Kind.TIMESTAMP),
    "millis": ColumnType(Kind.TIMESTAMP, unit=TimeUnit.MILLISECONDS),
    "date": ColumnType(Kind.DATE),
    "json": ColumnType(Kind.JSON),
    "binary": ColumnType(Kind.BINARY),
    "untyped": None,
}
TYPED = replace(
    SOURCE,
    targets=(Target("items", columns=tuple(Column(n, (n,), t) for n, t in TYPES.items()), evolve=Evolve.FREEZE),),
)

digits = st.from_regex(r"-?(0|[1-9][0-9]{0,37})(\.[0-9]{1,20})?", fullmatch=True)
numbers = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    digits.filter(lambda n: len(n.lstrip("-").replace(".", "")) <= 38),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=2).map(str),
    st.tuples(st.integers(1, 10**10), st.integers(-130, 115)).map(lambda n: f"{n[0]}E{n[1]}"),
    st.integers(0, 2_000_000_000_000).map(str),
    st.sampled_from(["0", "-0", "0.0", "1E125", "1E-130", "1.50", "1e3", "+1"]),
)
texts = st.one_of(
    st.text(max_size=8),
    numbers,
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(datetime.isoformat),  # noqa: DTZ001 - without a zone
    st.dates().map(str),
    st.sampled_from(["true", "false", "null", "", "NaN", "infinity", "\\N", "AA==", "{}", '{"S":"x"}']),
)
binaries = st.binary(max_size=6).map(lambda b: base64.b64encode(b).decode())


def _deeper(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(values, max_size=3).map(lambda v: {"L": v}),
        st.dictionaries(st.text(max_size=4), values, max_size=3).map(lambda v: {"M": v}),
    )


leaves = st.one_of(
    texts.map(lambda v: {"S": v}),
    numbers.map(lambda v: {"N": v}),
    binaries.map(lambda v: {"B": v}),
    st.booleans().map(lambda v: {"BOOL": v}),
    st.just({"NULL": True}),
    st.lists(st.text(max_size=4), min_size=1, max_size=3, unique=True).map(lambda v: {"SS": v}),
    st.lists(numbers, min_size=1, max_size=3, unique_by=Decimal).map(lambda v: {"NS": v}),
    st.lists(binaries, min_size=1, max_size=3, unique=True).map(lambda v: {"BS": v}),
)
typed_values = st.one_of(leaves, st.recursive(leaves, _deeper, max_leaves=6))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    items=st.lists(st.dictionaries(st.sampled_from([*TYPES, "extra"]), typed_values), min_size=1, max_size=25),
    dialect=st.sampled_from([DUCKDB, POSTGRES]),
)
def test_every_value_is_exactly_in_its_column_or_exactly_rescued(
    folder: Path, items: list[dict[str, Any]], dialect: Dialect
) -> None:
    records = [put(f"{n}", n) for n in range(len(items))]
    for record, item in zip(records, items, strict=True):
        record["dynamodb"]["NewImage"] |= item
    (folder / "typed").write_bytes(frame(records))
    obj = LocalObject(0, ObjectRef("typed", "v", 1, T0), folder / "typed")
    book = open_book(TYPED.targets[0], TYPED.key, dialect, None)
    with Workbench(memory=200_000_000) as workbench:
        decode(workbench, [obj], source=TYPED, facts=KNOWN, books=[book], dialect=dialect)
        places = {c.name: f"r.c{i}" for i, c in enumerate(book.schema.columns)}
        rows = workbench.rows(
            f"SELECT k.partition_key, r.rescued, {', '.join(places.values())} "
            "FROM stage_keys AS k JOIN stage_rows_0 AS r USING (n)"
        )
    assert len(rows) == len(items)
    kinds = {c.name: c.type.kind for c in book.schema.columns}
    for key, rescued, *columns in rows:
        found = dict(zip(places, columns, strict=True))
        left = json.loads(rescued or "{}")
        for name, value in items[int(key)].items():
            held = found.get(name)
            if "NULL" in value:
                # no column is needed to hold it
                assert held is None and left.get(name, value) == value
            elif held is None:
                assert unordered(left.get(name)) == unordered(value), (name, value, rescued)
                assert name not in kinds or not must_hold(kinds[name], value, dialect), (name, value)
            else:
                assert name not in left
                assert says_the_same(kinds[name], held, value), (name, value, held)
        assert left.keys() <= items[int(key)].keys()


def unordered(typed: Any) -> Any:
    """A typed value whose sets have no order, as in DynamoDB."""
    match typed:
        case {"SS": elements} | {"NS": elements} | {"BS": elements}:
            return {next(iter(typed)): sorted(elements)}
        case {"M": members}:
            return {"M": {name: unordered(member) for name, member in members.items()}}
        case {"L": elements}:
            return {"L": [unordered(element) for element in elements]}
    return typed


def must_hold(kind: Kind, value: dict[str, Any], dialect: Dialect) -> bool:
    """Values that their own kind of column has to take."""
    ((tag, payload),) = value.items()
    if "\0" in json.dumps(value).replace("\\u0000", "\0") and not dialect.holds_nul:
        return False
    match kind, tag:
        case (Kind.TEXT, "S") | (Kind.BINARY, "B") | (Kind.BOOLEAN, "BOOL") | (Kind.JSON, _):
            return True
        case Kind.NUMERIC, "N":
            return False  # two of them, of different width; says_the_same does the rest
        case Kind.INTEGER, "N":
            number = Decimal(payload)
            return number == number.to_integral_value() and abs(number) < 2**63
        case Kind.DOUBLE, "N":
            return len(Decimal(payload).normalize().as_tuple().digits) <= 15
    return False


def says_the_same(kind: Kind, held: Any, value: dict[str, Any]) -> bool:
    """Whether a column's value is the typed value, no digit and no byte less."""
    ((tag, payload),) = value.items()
    match kind:
        case Kind.TEXT:
            return tag in ("S", "N", "BOOL") and held == (str(payload).lower() if tag == "BOOL" else payload)
        case Kind.INTEGER | Kind.NUMERIC:
            return tag in ("N", "S") and Decimal(held) == Decimal(payload)
        case Kind.DOUBLE:
            return tag in ("N", "S") and Decimal(repr(held)) == Decimal(payload)
        case Kind.BOOLEAN:
            return held is payload if tag == "BOOL" else (tag, payload) == ("S", str(held).lower())
        case Kind.BINARY:
            return tag == "B" and held == base64.b64decode(payload)
        case Kind.DATE:
            return tag == "S" and held.isoformat() == payload
        case Kind.TIMESTAMP if tag == "N":
            return Decimal(payload) in (_epoch(held, 1), _epoch(held, 1_000))
        case Kind.TIMESTAMP:
            moment = datetime.fromisoformat(payload)
            return tag == "S" and held == (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        case Kind.JSON:
            return bool(json.loads(held, parse_float=Decimal, parse_int=Decimal) == plain(value))
    raise AssertionError(kind)


def _epoch(moment: datetime, per_second: int) -> Decimal:
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return Decimal(micros) * per_second / 1_000_000


def plain(value: dict[str, Any]) -> Any:
    """The plain JSON of a typed value: sets sorted, numbers exact, binary as base64."""
    ((tag, payload),) = value.items()
    match tag:
        case "N":
            return Decimal(payload)
        case "NULL":
            return None
        case "M":
            return {name: plain(each) for name, each in payload.items()}
        case "L":
            return [plain(each) for each in payload]
        case "SS":
            return sorted(payload, key=str.encode)
        case "NS":
            return sorted(map(Decimal, payload))
        case "BS":
            return sorted(payload, key=base64.b64decode)
    return payload

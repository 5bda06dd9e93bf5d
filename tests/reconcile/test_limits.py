"""Each safety limit refuses, and the warehouse is byte for byte what it was; --force lifts three, and says so."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from cdc_merge import Reconciler, Report
from cdc_merge.errors import Refused
from cdc_merge.exports.manifest import ExportKind
from cdc_merge.model import ReconcilePolicy, Source, Target
from tests.properties.story import contents
from tests.support.exports import TABLE_ARN, change_manifest, write_export, write_manifest
from tests.support.harness import Harness
from tests.support.postgres import PostgresServer, drop_database, fresh_database
from tests.support.reconciling import AS_OF, CUSTOMER, MINUTE, ORDER, SOURCE, T0, change, item
from tests.support.records import stream_record

OTHER_ARN = TABLE_ARN.replace("table/ecommerce", "table/other")
OTHER_ACCOUNT = TABLE_ARN.replace("123456789012", "210987654321")
SHOP = replace(SOURCE, reconcile=ReconcilePolicy(max_delete=0.3))
KIOSK = Source("kiosk", "", ("PK",), (Target("kiosk"),))
ITEMS = [item(f"k{n}", CUSTOMER | {"n": n}) for n in range(1, 6)] + [item("o1", ORDER)]
VERIFIED = T0 + 20 * MINUTE  # as of when the shop was reconciled
Spoil = Callable[[Path], object]


@dataclass(frozen=True)
class Shop:
    """A warehouse that has drifted from what every export here says, so that a reconcile would change it."""

    harness: Harness
    root: Path  # of exports
    before: Mapping[str, list[str]]

    def export(self, spoil: Spoil = lambda _: None, **options: Any) -> str:
        return export(self.root, spoil, **options)

    def reconcile(self, at: str, *, source: Source | None = None, **options: Any) -> Report:
        return reconcile(self.harness, at, source=source, **options)

    def assert_refuses(self, at: str, *, says: str, source: Source | None = None, **options: Any) -> None:
        with pytest.raises(Refused, match=says) as refusal:
            self.reconcile(at, source=source, **options)
        assert refusal.value.where
        assert refusal.value.hint
        assert contents(self.harness) == self.before
        assert self.harness.query(f"SELECT count(*) FROM {self.harness.metadata}.leases") == [(0,)]


def export(root: Path, spoil: Spoil = lambda _: None, **options: Any) -> str:
    """A whole export, then spoilt; returns its folder."""
    own = root / str(next(_numbers))
    folder = write_export(own, **(DEFAULTS | options))
    spoil(folder)
    return str(folder)


DEFAULTS: dict[str, Any] = {"items": ITEMS, "as_of": AS_OF, "key": ("PK",)}
_numbers = itertools.count()


def reconcile(harness: Harness, at: str, *, source: Source | None = None, **options: Any) -> Report:
    mine = source or harness.source
    with Reconciler(replace(harness.settings, sources=(mine,))) as reconciler:
        return reconciler.reconcile(mine.name, at, **options)


def open_shop(url: str, folder: Path) -> Harness:
    """Feed, reconcile, feed: rows and tombstones, a floor, and drift of every kind against ITEMS."""
    harness = Harness(url, SHOP, folder / "feed")
    harness.put_records([change(f"k{n}", n, CUSTOMER | {"n": n}) for n in range(1, 5)])
    harness.run()
    reconcile(harness, export(folder / "first", items=ITEMS[:4], as_of=VERIFIED))
    harness.put_records(
        [
            change("k1", 11, {**CUSTOMER, "n": -1}, minute=30),
            change("extra", 12, CUSTOMER, minute=30),
            change("gone", 13, minute=30),
            change("newer", 14, CUSTOMER, minute=59),
        ]
    )
    harness.run()
    return harness


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for all tests of an engine: none of them may change it."""
    folder = tmp_path_factory.mktemp("shop")
    if request.param == "duckdb":
        harness = open_shop(f"duckdb:///{folder}/warehouse.duckdb", folder)
        yield Shop(harness, folder / "exports", contents(harness))
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = fresh_database(server)
    harness = open_shop(url, folder)
    yield Shop(harness, folder / "exports", contents(harness))
    drop_database(server, url)


# --- ways to spoil an export ---------------------------------------------------------------------------------


def leave_unfinished(folder: Path) -> None:
    for path in folder.glob("manifest-*"):
        path.unlink()


def listed(folder: Path) -> list[dict[str, Any]]:
    """The lines of manifest-files.json, that of the fullest file first."""
    lines = [json.loads(line) for line in (folder / "manifest-files.json").read_text().splitlines()]
    return sorted(lines, key=lambda line: -int(line["itemCount"]))


def data_file(folder: Path) -> Path:
    return folder.parent.parent / str(listed(folder)[0]["dataFileS3Key"])


def flip_a_byte(folder: Path) -> None:
    data = bytearray(data_file(folder).read_bytes())
    data[-1] ^= 1
    data_file(folder).write_bytes(data)


def lose_a_file(folder: Path) -> None:
    data_file(folder).unlink()


def miscount_a_file(folder: Path, *, summary_too: bool = False) -> None:
    lines = listed(folder)
    lines[0]["itemCount"] += 1
    write_manifest(folder, "files", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    if summary_too:
        change_manifest(folder, itemCount=sum(line["itemCount"] for line in lines))


def miscount_both(folder: Path) -> None:
    miscount_a_file(folder, summary_too=True)


def miscount_two_files(folder: Path) -> None:
    """The sum is right."""
    lines = listed(folder)
    lines[0]["itemCount"] += 1
    lines[1]["itemCount"] -= 1
    write_manifest(folder, "files", b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def miscount_the_summary(folder: Path) -> None:
    change_manifest(folder, itemCount=len(ITEMS) - 1)


def rewrite(folder: Path, data: Callable[[bytes], bytes], *, more: int = 0) -> None:
    """Put other bytes into the fullest file, and make every manifest agree with them."""
    lines, path = listed(folder), data_file(folder)
    path.write_bytes(data(path.read_bytes()))
    lines[0] |= {
        "itemCount": lines[0]["itemCount"] + more,
        "md5Checksum": base64.b64encode(md5(path.read_bytes()).digest()).decode(),
    }
    write_manifest(folder, "files", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    change_manifest(folder, itemCount=sum(line["itemCount"] for line in lines))


def replace_line(folder: Path, line: str) -> None:
    """Put one line in the place of the last one of the fullest file."""

    def replaced(data: bytes) -> bytes:
        return gzip.compress(b"".join([*gzip.decompress(data).splitlines(keepends=True)[:-1], line.encode(), b"\n"]))

    rewrite(folder, replaced)


def put_in(line: str) -> Spoil:
    return lambda folder: replace_line(folder, line)


def truncate(folder: Path) -> None:
    rewrite(folder, lambda data: data[:-10])


def repeat_an_item(folder: Path) -> None:
    rewrite(
        folder, lambda data: gzip.compress(gzip.decompress(data) + gzip.decompress(data).splitlines(True)[0]), more=1
    )


def repeat_an_item_in_another_file(folder: Path) -> None:
    copied = gzip.decompress(data_file(folder).read_bytes()).splitlines(keepends=True)[0]
    lines = listed(folder)
    path = folder.parent.parent / str(lines[-1]["dataFileS3Key"])  # the empty one
    path.write_bytes(gzip.compress(copied))
    lines[-1] |= {"itemCount": 1, "md5Checksum": base64.b64encode(md5(path.read_bytes()).digest()).decode()}
    write_manifest(folder, "files", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    change_manifest(folder, itemCount=len(ITEMS) + 1)


SPOILT: list[tuple[Spoil, str]] = [
    (leave_unfinished, "unfinished"),
    (flip_a_byte, "MD5"),
    (lose_a_file, "missing"),
    (miscount_a_file, "miscounted"),
    (miscount_both, "the manifest says"),
    (miscount_two_files, "the manifest says"),
    (miscount_the_summary, "miscounted"),
    (truncate, "cannot be read"),
    (put_in('{"Item":'), "is not JSON"),
    (put_in('{"Item":{"Type":{"S":"Customer"}}}'), "has no key"),
    (put_in('{"Item":{"PK":{"S":""},"Type":{"S":"Customer"}}}'), "has no key"),
    (put_in('{"Item":{"PK":{"N":"1"},"Type":{"S":"Customer"}}}'), "has no key"),
    (put_in('{"PK":{"S":"k9"},"Type":{"S":"Customer"}}'), "has no key"),
    (put_in("[]"), "has no key"),
    (repeat_an_item, "more than once"),
    (repeat_an_item_in_another_file, "more than once"),
]


@pytest.mark.parametrize(("spoil", "says"), SPOILT, ids=[f"{n} {says}" for n, (_, says) in enumerate(SPOILT)])
def test_an_export_that_cannot_be_trusted_is_refused_whatever_is_forced(shop: Shop, spoil: Spoil, says: str) -> None:
    shop.assert_refuses(shop.export(spoil, files=2), says=says, force=True)


def test_an_export_that_cannot_be_trusted_is_refused(shop: Shop) -> None:
    for spoil, says in (SPOILT[0], SPOILT[4], SPOILT[-1]):
        shop.assert_refuses(shop.export(spoil, files=2), says=says)


@pytest.mark.parametrize("force", [False, True], ids=["", "forced"])
def test_an_export_older_than_the_floor_is_refused_whatever_is_forced(shop: Shop, force: bool) -> None:
    shop.assert_refuses(
        shop.export(as_of=VERIFIED - timedelta(seconds=1)), says="older than what is verified", force=force
    )


@pytest.mark.parametrize("force", [False, True], ids=["", "forced"])
def test_an_export_of_a_time_to_come_is_refused_whatever_is_forced(shop: Shop, force: bool) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    shop.assert_refuses(shop.export(as_of=soon), says="in the future", force=force)


@pytest.mark.parametrize("force", [False, True], ids=["", "forced"])
def test_an_incremental_export_that_leaves_a_gap_is_refused_whatever_is_forced(shop: Shop, force: bool) -> None:
    later = shop.export(kind=ExportKind.INCREMENTAL, since=VERIFIED + 30 * MINUTE, changes=())
    shop.assert_refuses(later, says="has the changes since", force=force)


def test_an_empty_export_is_refused(shop: Shop) -> None:
    shop.assert_refuses(shop.export(items=[]), says="no items at all")


@pytest.mark.parametrize("force", [False, True], ids=["", "forced"])
def test_an_empty_export_as_the_first_thing_of_a_source_is_refused_whatever_is_forced(shop: Shop, force: bool) -> None:
    """Else it would settle that the key is text, and a table of numeric keys would be quarantined."""
    shop.assert_refuses(shop.export(items=[]), says="no items", source=KIOSK, force=force)


@pytest.mark.parametrize("arn", [OTHER_ARN, OTHER_ACCOUNT], ids=["name", "account"])
def test_an_export_of_another_table_than_the_records_came_from_is_refused(shop: Shop, arn: str) -> None:
    shop.assert_refuses(shop.export(table_arn=arn), says="by what was merged before the source is")


@pytest.mark.parametrize("table", ["other", OTHER_ARN, OTHER_ACCOUNT], ids=["name", "arn", "account"])
def test_an_export_of_another_table_than_configured_is_refused(shop: Shop, table: str) -> None:
    source = replace(shop.harness.source, table=table)
    shop.assert_refuses(shop.export(), says="by the configuration the source is", source=source)


@pytest.mark.parametrize("is_fed", [False, True], ids=["first", "after records"])
def test_an_export_of_another_table_than_the_last_one_is_refused(
    warehouse_url: str, tmp_path: Path, is_fed: bool
) -> None:
    """Where the records do not tell of which table they are."""
    harness = Harness(warehouse_url, KIOSK, tmp_path / "feed")
    if is_fed:
        harness.put_records([stream_record({"PK": "k1"}, CUSTOMER, sequence=1, at=T0, arn_label=None)])
        harness.run()
    reconcile(harness, export(tmp_path))
    shop = Shop(harness, tmp_path, contents(harness))

    shop.assert_refuses(shop.export(table_arn=OTHER_ARN), says="by what was merged before the source is")


def test_a_replica_in_another_region_is_the_same_table(shop: Shop) -> None:
    replica = shop.export(table_arn=TABLE_ARN.replace("eu-central-1", "us-east-1"))
    report = shop.reconcile(replica, dry_run=True)
    assert report.items == len(ITEMS)


def test_more_deletes_than_allowed_are_refused(shop: Shop) -> None:
    at = shop.export(items=ITEMS[3:])
    shop.assert_refuses(at, says=r"4 of 6 rows \(66.7 %\) would be deleted, more than max_delete \(30 %\)")


def test_a_dry_run_shows_the_deletes_that_would_be_refused(shop: Shop) -> None:
    report = shop.reconcile(shop.export(items=ITEMS[3:]), dry_run=True)

    assert report.targets["customers"].extra == 4
    assert "max_delete" in " ".join(report.notes)
    assert contents(shop.harness) == shop.before


# --- what may be forced --------------------------------------------------------------------------------------


@dataclass
class Forced:
    """A warehouse that each test first makes equal to ITEMS, and then reconciles with something else."""

    harness: Harness
    root: Path
    minute: int = 0

    def reconcile(self, *, max_delete: float = 1.0, force: bool = False, **options: Any) -> Report:
        self.minute += 1
        source = replace(SHOP, reconcile=ReconcilePolicy(max_delete=max_delete))
        at = export(self.root, as_of=AS_OF + self.minute * MINUTE, **options)
        return reconcile(self.harness, at, source=source, force=force)

    def books(self) -> set[str]:
        """What `reconciliations` says of the newest reconcile's overridden limits."""
        rows = self.harness.query(
            f"SELECT overridden FROM {self.harness.metadata}.reconciliations "
            f"WHERE as_of = (SELECT max(as_of) FROM {self.harness.metadata}.reconciliations)"
        )
        return {text for (text,) in rows}


@pytest.fixture(scope="module")
def equal_shop(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Forced:
    """One for all tests of an engine, in the warehouse of `shop` but other schemas."""
    harness = replace(shop.harness, schema="forced", metadata="forced_metadata")
    return Forced(harness, tmp_path_factory.mktemp("forced"))


@pytest.fixture
def forced(equal_shop: Forced) -> Forced:
    equal_shop.reconcile()
    return equal_shop


def test_as_many_deletes_as_allowed_are_made(forced: Forced) -> None:
    report = forced.reconcile(items=ITEMS[1:], max_delete=0.2)
    assert report.targets["customers"].extra == 1
    assert report.overridden == ()


def test_force_lifts_the_refusal_of_an_empty_export_and_that_is_recorded(forced: Forced) -> None:
    report = forced.reconcile(items=[], force=True)

    assert report.overridden == ("it has no items at all",)
    assert forced.books() == {"it has no items at all"}
    assert forced.harness.tables() == {"customers": {}, "orders": {}}


def test_force_lifts_the_refusal_of_another_table_and_that_is_recorded(forced: Forced) -> None:
    report = forced.reconcile(items=ITEMS[1:], table_arn=OTHER_ARN, force=True)

    (lifted,) = report.overridden
    assert OTHER_ARN in lifted
    assert TABLE_ARN in lifted
    assert forced.books() == {lifted}
    assert ("k1",) not in forced.harness.tables()["customers"]


def test_force_lifts_max_delete_and_that_is_recorded_target_by_target(forced: Forced) -> None:
    report = forced.reconcile(items=ITEMS[3:5], max_delete=0.3, force=True)

    customers, orders = report.overridden
    assert customers.startswith("target customers, ")
    assert "3 of 5 rows" in customers
    assert orders.startswith("target orders, ")
    assert "1 of 1 rows" in orders
    assert forced.books() == {f"{customers}; {orders}"}
    assert set(forced.harness.tables()["customers"]) == {("k4",), ("k5",)}


def test_what_need_not_be_forced_is_not_recorded_as_forced(forced: Forced) -> None:
    assert forced.reconcile(force=True).overridden == ()
    assert forced.books() == {""}


def test_a_forced_export_of_another_table_does_not_make_the_source_that_table(
    warehouse_url: str, tmp_path: Path
) -> None:
    source = replace(KIOSK, table="ecommerce")
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    reconcile(harness, export(tmp_path, table_arn=OTHER_ARN, as_of=VERIFIED), force=True)

    report = reconcile(harness, export(tmp_path))

    assert report.overridden == ()

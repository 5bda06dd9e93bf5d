"""A gap in the feed is filled from an incremental export that follows what is verified already."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import Refused
from cdc_merge.exports.manifest import ExportFormat, ExportKind
from cdc_merge.model import ReconcilePolicy
from cdc_merge.reconcile.report import Method
from tests.properties.story import contents
from tests.support.exports import change_manifest, write_export, write_manifest
from tests.support.harness import Harness
from tests.support.reconciling import CUSTOMER, MINUTE, ORDER, SOURCE, T0, change, counts, item, keys, reconcile
from tests.support.records import to_item

FIRST = T0 + 60 * MINUTE  # as of the full export
VERIFIED = FIRST - 2 * MINUTE
SINCE = VERIFIED - 2 * MINUTE
NEXT = T0 + 120 * MINUTE  # as of the incremental export
FLOOR = NEXT - 2 * MINUTE
BEFORE = [
    item("kept", CUSTOMER),
    item("updated", CUSTOMER),
    item("deleted", CUSTOMER),
    item("moved", CUSTOMER),
    item("delivered", CUSTOMER),
    item("newer", CUSTOMER),
]
Change = tuple[str, Mapping[str, Any] | None]
# What happened between the exports, of which the feed brought only "delivered".
LOST: list[Change] = [
    ("inserted", CUSTOMER),
    ("updated", {**CUSTOMER, "Name": "Bo"}),
    ("deleted", None),
    ("never there", None),
    ("moved", ORDER),
    ("delivered", {**CUSTOMER, "Name": "Cy"}),
    ("newer", {**CUSTOMER, "Name": "older"}),
]


def later(folder: Path, changes: Sequence[Change], **options: Any) -> str:
    """An incremental export of changes made half an hour after the full one."""
    at = (FIRST + 30 * MINUTE - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    given: dict[str, Any] = {"as_of": NEXT, "since": SINCE, "key": ("PK",)} | options
    written = [(to_item({"PK": key}), None if new is None else item(key, new), at) for key, new in changes]
    return str(write_export(folder, changes=written, kind=ExportKind.INCREMENTAL, **given))


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    """Verified by a full export; then the feed brought two changes, one of them after the incremental export."""
    harness = Harness(warehouse_url, SOURCE, tmp_path / "feed")
    reconcile(harness, str(write_export(tmp_path / "full", BEFORE, as_of=FIRST, key=("PK",))))
    harness.put_records(
        [
            change("delivered", 1, {**CUSTOMER, "Name": "Cy"}, minute=90),
            change("newer", 2, {**CUSTOMER, "Name": "Di"}, minute=119),
        ]
    )
    harness.run()
    return harness


def with_old_images(folder: str) -> None:
    """As if asked for with NEW_AND_OLD_IMAGES: an update has the image from before the window, a delete only that."""
    change_manifest(Path(folder), outputView="NEW_AND_OLD_IMAGES")

    def add(record: dict[str, Any]) -> None:
        if record["Keys"]["PK"]["S"] != "inserted":
            record["OldImage"] = item(record["Keys"]["PK"]["S"], CUSTOMER)

    rewrite_records(folder, add)


def with_new_images(_folder: str) -> None:
    """As it is written."""


def rewrite_records(folder: str, mend: Callable[[dict[str, Any]], None]) -> None:
    """Change every record of an export of plain text files, and what its manifests say of them."""
    lines = [json.loads(line) for line in (Path(folder) / "manifest-files.json").read_text().splitlines()]
    for line in lines:
        path = Path(folder).parent.parent / line["dataFileS3Key"]
        records = [json.loads(record) for record in gzip.decompress(path.read_bytes()).splitlines()]
        for record in records:
            mend(record)
        path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
        line["md5Checksum"] = base64.b64encode(md5(path.read_bytes()).digest()).decode()
    write_manifest(Path(folder), "files", "".join(json.dumps(line) + "\n" for line in lines).encode())


@pytest.mark.parametrize(
    ("typed_micros", "view"), [(True, with_new_images), (False, with_old_images)], ids=["new images", "old images"]
)
def test_a_gap_in_the_feed_is_filled(
    shop: Harness, tmp_path: Path, typed_micros: bool, view: Callable[[str], None]
) -> None:
    folder = later(tmp_path / "later", LOST, typed_micros=typed_micros)
    view(folder)
    untouched = shop.query(
        f"SELECT * FROM {shop.schema}.customers WHERE pk IN ('kept', 'newer', 'delivered') ORDER BY 1"
    )

    report = reconcile(shop, folder)

    assert report.method is Method.INCREMENTAL
    assert report.items == len(LOST)
    assert counts(report, "customers") == (1, 1, 2, 1, 1, 4)
    assert counts(report, "orders") == (0, 1, 0, 0, 0, 1)
    assert report.targets["customers"].causes == {
        "missing": {"never_arrived": 1},
        "extra": {"delete_lost": 1, "move_lost": 1},
        "different": {"update_lost_or_altered": 1},
    }
    assert keys(shop) == {"customers": {"kept", "inserted", "updated", "delivered", "newer"}, "orders": {"moved"}}
    rows = shop.tables()["customers"]
    assert rows[("updated",)].item["Name"] == "Bo"
    assert (rows[("inserted",)].position, rows[("inserted",)].changed_at) == ("", FLOOR)
    assert untouched == shop.query(
        f"SELECT * FROM {shop.schema}.customers WHERE pk IN ('kept', 'newer', 'delivered') ORDER BY 1"
    )
    assert shop.query(f"SELECT DISTINCT floor_at FROM {shop.metadata}.targets") == [(FLOOR,)]


def test_a_number_is_a_time_too(shop: Harness, tmp_path: Path) -> None:
    """A third spelling, which a program that copies exports may make of it."""
    folder = later(tmp_path / "later", LOST)

    def untype(record: dict[str, Any]) -> None:
        record["Metadata"]["WriteTimestampMicros"] = int(record["Metadata"]["WriteTimestampMicros"]["N"])

    rewrite_records(folder, untype)
    assert counts(reconcile(shop, folder), "customers") == (1, 1, 2, 1, 1, 4)


def test_late_records_of_what_was_filled_are_stale(shop: Harness, tmp_path: Path) -> None:
    reconcile(shop, later(tmp_path / "later", LOST))
    before = shop.tables()
    shop.put_records(
        [
            change("updated", 3, {**CUSTOMER, "Name": "Bo"}, minute=90),
            change("deleted", 4, {**CUSTOMER, "Name": "late"}, minute=80),
            change("deleted", 5, minute=90),
            change("never there", 6, CUSTOMER, minute=90),
        ]
    )

    assert shop.run().counts.stale == 3
    assert shop.tables() == before


def test_an_empty_incremental_export_says_that_nothing_changed(shop: Harness, tmp_path: Path) -> None:
    before = shop.tables()

    report = reconcile(shop, later(tmp_path / "later", [], as_of=FIRST + 20 * MINUTE))

    assert (report.items, report.drifted, report.overridden) == (0, 0, ())
    assert shop.tables() == before
    assert shop.query(f"SELECT DISTINCT floor_at FROM {shop.metadata}.targets") == [(VERIFIED + 20 * MINUTE,)]


def test_a_dry_run_of_an_incremental_export_writes_nothing(shop: Harness, tmp_path: Path) -> None:
    before = contents(shop)
    report = reconcile(shop, later(tmp_path / "later", LOST), dry_run=True)
    assert counts(report, "customers") == (1, 1, 2, 1, 1, 4)
    assert contents(shop) == before


def test_incremental_exports_follow_each_other(shop: Harness, tmp_path: Path) -> None:
    reconcile(shop, later(tmp_path / "later", LOST))
    following = later(
        tmp_path / "following",
        [("inserted", None), ("newer", {**CUSTOMER, "Name": "Di"})],
        since=FLOOR - 2 * MINUTE,
        as_of=NEXT + 60 * MINUTE,
    )

    report = reconcile(shop, following)

    assert counts(report, "customers") == (1, 0, 1, 0, 0, 1)
    assert "inserted" not in keys(shop)["customers"]


def test_a_change_just_before_the_full_export_that_was_lost_is_not_made_stale(shop: Harness, tmp_path: Path) -> None:
    """The full export left its key alone, which was changed within the margin; one that begins later has it not."""
    shop.put_records([change("kept", 7, {**CUSTOMER, "Name": "first"}, minute=58.5)])
    shop.run()
    reconcile(
        shop,
        str(
            write_export(
                tmp_path / "again",
                [item("kept", {**CUSTOMER, "Name": "second"}), *BEFORE[1:]],
                as_of=FIRST,
                key=("PK",),
                export_id="x",
            )
        ),
    )
    with pytest.raises(Refused, match="has the changes since"):
        reconcile(shop, later(tmp_path / "later", [], since=FIRST))

    shop.put_records([change("kept", 8, {**CUSTOMER, "Name": "second"}, minute=59)])
    shop.run()

    assert shop.tables()["customers"][("kept",)].item["Name"] == "second"


def test_what_came_and_went_within_the_window_is_in_no_incremental_export_and_goes(
    shop: Harness, tmp_path: Path
) -> None:
    shop.put_records([change("brief", 9, CUSTOMER, minute=90)])  # its REMOVE is lost
    shop.run()

    report = reconcile(shop, later(tmp_path / "later", [("delivered", {**CUSTOMER, "Name": "Cy"})]))

    assert counts(report, "customers") == (1, 0, 1, 0, 0, 1)
    assert "brief" not in keys(shop)["customers"]


def test_an_incremental_export_that_begins_too_late_is_refused(shop: Harness, tmp_path: Path) -> None:
    before = contents(shop)
    for number, since in enumerate((SINCE + timedelta(seconds=1), FIRST, FIRST + 10 * MINUTE)):
        with pytest.raises(Refused, match="has the changes since"):
            reconcile(shop, later(tmp_path / str(number), LOST, since=since))
    assert contents(shop) == before


def test_a_target_that_was_never_verified_cannot_begin_with_an_incremental_export(
    warehouse_url: str, tmp_path: Path
) -> None:
    harness = Harness(warehouse_url, SOURCE, tmp_path / "feed")
    harness.put_records([change("a", 1, CUSTOMER)])
    harness.run()
    before = contents(harness)
    with pytest.raises(Refused, match="verified through nothing"):
        reconcile(harness, later(tmp_path / "later", LOST))
    assert contents(harness) == before


def test_ion_is_read_as_well(shop: Harness, tmp_path: Path) -> None:
    pytest.importorskip("amazon.ion")
    report = reconcile(shop, later(tmp_path / "later", LOST, format=ExportFormat.ION))
    assert counts(report, "customers") == (1, 1, 2, 1, 1, 4)


def test_more_deletes_than_allowed_are_refused(shop: Harness, tmp_path: Path) -> None:
    shop.source = replace(shop.source, reconcile=ReconcilePolicy(max_delete=0.2))
    before = contents(shop)
    with pytest.raises(Refused, match="2 of 6 rows"):
        reconcile(shop, later(tmp_path / "later", LOST))
    assert contents(shop) == before

"""Exports are found in buckets and directories, whole or copied; one that cannot be trusted is refused."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import Refused, StoreDenied, UsageError
from cdc_merge.exports.finder import fetch_verified, find_export, newest_complete
from cdc_merge.exports.manifest import Export, ExportFormat, ExportKind
from cdc_merge.exports.place import Place
from cdc_merge.feed.store import Page, open_store
from tests.support.exports import TABLE_ARN, change_manifest, upload, write_export, write_manifest
from tests.support.records import to_item
from tests.support.s3 import MotoS3, moto_s3
from tests.support.stores import MemoryStore

T = datetime(2026, 11, 24, 3, tzinfo=UTC)
ITEMS = [to_item({"PK": f"k{n}", "SK": "s", "n": n}) for n in range(20)]


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoS3]:
    with moto_s3() as server:
        yield server


@dataclass(frozen=True)
class Shelf:
    """Where exports are written, in `root`, and where the finder sees them once they are published."""

    root: Path
    publish: Callable[[Path], str]

    @property
    def url(self) -> str:
        return self.publish(self.root)


@pytest.fixture(params=["directory", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A directory and a bucket in turn."""
    root = tmp_path / "bucket"
    root.mkdir()
    if request.param == "directory":
        return Shelf(root, lambda folder: f"file://{folder}/")
    monkeypatch.setattr("cdc_merge.exports.place.open_store", cache(open_store))  # a client takes a tenth of a second
    moto: MotoS3 = request.getfixturevalue("moto")
    return Shelf(root, lambda folder: upload(folder, moto.client, moto.create_bucket(), "lake/exports/"))


@pytest.fixture
def local_shelf(tmp_path: Path) -> Shelf:
    """A directory, for what no store has a say in."""
    root = tmp_path / "bucket"
    root.mkdir()
    return Shelf(root, lambda folder: f"file://{folder}/")


def records(export: Export, directory: Path) -> list[Any]:
    """Every record, checked file by file."""
    directory.mkdir(exist_ok=True)
    found: list[Any] = []
    for file in export.files:
        lines = gzip.decompress(fetch_verified(export, file, directory).read_bytes()).splitlines()
        assert len(lines) == file.items
        found += map(json.loads, lines)
    return found


def by_key(record: Any) -> str:
    return str(record["Item"]["PK"]["S"])


def find(exports: str | None, wanted: str | None = None, **options: Any) -> Export:
    return find_export(exports, wanted, source="shop", **options)


# --- finding ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", list(ExportFormat))
def test_an_export_is_found_and_its_items_are_read(shelf: Shelf, tmp_path: Path, format: ExportFormat) -> None:
    folder = write_export(shelf.root, ITEMS, as_of=T, format=format)
    url = shelf.url
    export = find(url)
    assert (export.id, export.as_of, export.items) == (folder.name, T, 20)
    assert export.location == f"{url}AWSDynamoDB/{folder.name}"
    assert (export.kind, export.format, export.table_arn) == (ExportKind.FULL, format, TABLE_ARN)
    assert export.arn == f"{TABLE_ARN}/export/{folder.name}"
    assert sorted(file.items for file in export.files)[0] == 0  # an empty partition
    assert sorted(records(export, tmp_path / "work"), key=by_key) == sorted(
        ({"Item": each} for each in ITEMS), key=by_key
    )


def test_an_export_is_named_by_its_url_its_id_or_its_arn(shelf: Shelf) -> None:
    folder = write_export(shelf.root, ITEMS, as_of=T)
    write_export(shelf.root, ITEMS, as_of=T + timedelta(days=1))
    url = shelf.url
    location = f"{url}AWSDynamoDB/{folder.name}"
    for wanted in (
        location,
        f"{location}/",
        f"{location}/manifest-summary.json",
        folder.name,
        f"{TABLE_ARN}/export/{folder.name}",
    ):
        assert find(url, wanted).location == location
    assert find(None, location).location == location
    for root in (url, url.rstrip("/"), f"{url}AWSDynamoDB", f"{url}AWSDynamoDB/"):
        assert find(None, root).as_of == T + timedelta(days=1)
        assert find(root).as_of == T + timedelta(days=1)
        assert find(root, folder.name).location == location


def test_a_local_path_needs_no_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_export(tmp_path, ITEMS, as_of=T)
    monkeypatch.chdir(tmp_path)
    for wanted in (str(folder), str(tmp_path), ".", f"AWSDynamoDB/{folder.name}"):
        assert find(None, wanted).location == f"file://{folder}"


@pytest.mark.parametrize("with_prefix_in_keys", [True, False])
def test_keys_may_name_the_prefix_or_not_and_the_export_may_have_been_moved(
    shelf: Shelf, tmp_path: Path, with_prefix_in_keys: bool
) -> None:
    folder = write_export(shelf.root, ITEMS, as_of=T, s3_prefix="2026-Nov/a", with_prefix_in_keys=with_prefix_in_keys)
    assert len(records(find(f"{shelf.url}2026-Nov/a/"), tmp_path / "work")) == 20
    moved = Shelf(shelf.root / "2026-Nov" / "a", shelf.publish).url  # the same without its prefix
    assert len(records(find(moved, folder.name), tmp_path / "work")) == 20


def test_a_full_export_may_be_copied_alone_under_another_name(shelf: Shelf, tmp_path: Path) -> None:
    folder = write_export(shelf.root, ITEMS, as_of=T, s3_prefix="a", with_prefix_in_keys=True)
    alone = tmp_path / "copied"
    shutil.copytree(folder, alone / "tuesday")
    url = Shelf(alone, shelf.publish).url
    export = find(None, f"{url}tuesday")
    assert (export.id, export.location) == (folder.name, f"{url}tuesday")
    assert len(records(export, tmp_path / "work")) == 20


def test_an_incremental_export_takes_only_its_own_files_from_the_shared_folder(shelf: Shelf, tmp_path: Path) -> None:
    key = to_item({"PK": "a", "SK": "s"})
    folders = [
        write_export(
            shelf.root,
            as_of=T + timedelta(hours=n + 1),
            since=T + timedelta(hours=n),
            kind=ExportKind.INCREMENTAL,
            s3_prefix="p",
            with_prefix_in_keys=True,
            changes=[(key, {**key, "v": {"N": str(n)}}, 1_000_000 + n), (to_item({"PK": "b", "SK": "s"}), None, n)],
            typed_micros=n == 1,
            format=ExportFormat.ION if n == 2 else ExportFormat.DYNAMODB_JSON,
        )
        for n in range(3)
    ]
    url = f"{shelf.url}p"
    for n, folder in enumerate(folders):
        export = find(url, folder.name)
        assert (export.kind, export.since, export.as_of) == (
            ExportKind.INCREMENTAL,
            T + timedelta(hours=n),
            T + timedelta(hours=n + 1),
        )
        deleted, put = sorted(records(export, tmp_path / "work"), key=lambda record: len(record))
        assert set(deleted) == {"Metadata", "Keys"}
        assert put["NewImage"]["v"] == {"N": str(n)}
        micros = put["Metadata"]["WriteTimestampMicros"]
        assert micros == ({"N": f"{1_000_000 + n}"} if n == 1 else f"{1_000_000 + n}")
    with pytest.raises(Refused, match="no complete full export"):
        find(url)


def test_an_older_manifest_without_a_type_is_of_a_full_export(local_shelf: Shelf) -> None:
    write_export(local_shelf.root, ITEMS, as_of=T, export_type_in_manifest=False)
    assert find(local_shelf.url).kind is ExportKind.FULL


def test_an_export_of_nothing_is_an_export(shelf: Shelf, tmp_path: Path) -> None:
    write_export(shelf.root, [], as_of=T)
    export = find(shelf.url)
    assert (export.items, len(export.files)) == (0, 4)
    assert records(export, tmp_path / "work") == []


# --- the newest -------------------------------------------------------------------------------------------


def test_the_newest_is_the_newest_by_its_time_not_by_its_name(shelf: Shelf) -> None:
    write_export(shelf.root, ITEMS, as_of=T - timedelta(days=1))
    newest = write_export(shelf.root, ITEMS, as_of=T)
    asked = T + timedelta(days=2)  # for an older time, within point-in-time recovery
    write_export(shelf.root, ITEMS, as_of=T - timedelta(days=3), export_id=f"{int(asked.timestamp() * 1000):014d}-a")
    write_export(shelf.root, ITEMS, as_of=T - timedelta(days=2), export_id="copied-by-hand")
    write_export(shelf.root, as_of=T + timedelta(days=1), kind=ExportKind.INCREMENTAL)
    unfinished = write_export(shelf.root, ITEMS, as_of=T + timedelta(days=3))
    (unfinished / "manifest-summary.json").unlink()
    url = shelf.url
    found = newest_complete(url)
    assert found is not None
    assert (found.id, found.as_of, found.items) == (newest.name, T, 20)
    assert find(url).id == newest.name
    assert newest_complete(url, after=T) is None
    assert (newest_complete(url, after=T - timedelta(seconds=1)) or found).id == newest.name


def test_exports_of_other_tables_are_passed_over(local_shelf: Shelf) -> None:
    mine = write_export(local_shelf.root, ITEMS, as_of=T)
    write_export(local_shelf.root, ITEMS, as_of=T + timedelta(days=1), table_arn=f"{TABLE_ARN}2")
    url = local_shelf.url
    assert find(url, table="ecommerce").id == mine.name
    assert find(url, table=TABLE_ARN).id == mine.name
    assert find(url).table_arn == f"{TABLE_ARN}2"
    with pytest.raises(Refused, match="no complete full export of orders"):
        find(url, table="orders")


def test_where_nothing_was_exported_there_is_no_newest(shelf: Shelf, tmp_path: Path) -> None:
    (shelf.root / "other.txt").write_bytes(b"x")
    url = shelf.url
    assert newest_complete(url) is None
    assert newest_complete(f"{tmp_path}/nowhere") is None
    with pytest.raises(Refused) as caught:
        find(url)
    assert caught.value.where == f"{url}AWSDynamoDB/"
    assert "reconcile --request" in (caught.value.hint or "")


class CountingStore(MemoryStore):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__(prefix="")
        self.lists = 0
        self.fetched: list[str] = []
        self.listed = 0

    def list_page(self, *, start_after: str | None, limit: int = 1000) -> Page:
        self.lists += 1
        page = super().list_page(start_after=start_after, limit=limit)
        self.listed += sum("/data/" in ref.key for ref in page.objects)
        return page

    def fetch(self, ref: Any, directory: Path) -> Path:
        self.fetched.append(ref.key.rpartition("/")[2])
        return super().fetch(ref, directory)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> CountingStore:
    store = CountingStore()
    monkeypatch.setattr(Place, "open", staticmethod(lambda url: Place(url, store)))
    return store


def test_the_newest_is_found_without_listing_data_files(tmp_path: Path, counting: CountingStore) -> None:
    for day in range(30):
        write_export(tmp_path, [], as_of=T + timedelta(days=day), files=1)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            counting.put(path.relative_to(tmp_path).as_posix(), path.read_bytes())
    for folder in (tmp_path / "AWSDynamoDB").iterdir():
        counting.fill([f"AWSDynamoDB/{folder.name}/data/{n:05}" for n in range(2000)], modified=T)
    newest = newest_complete("s3://b/")
    assert newest is not None and newest.as_of == T + timedelta(days=29)
    assert counting.lists == 30 + 1 + 1  # a folder each, the end, the manifests of the newest
    assert counting.listed == 0
    assert counting.fetched == ["manifest-summary.json", "manifest-summary.md5"]

    counting.lists = 0
    assert newest_complete("s3://b/", after=T + timedelta(days=29)) is None
    assert counting.lists <= 3


def test_a_thousand_files_are_found_with_one_request_and_strangers_are_jumped_over(counting: CountingStore) -> None:
    place = Place.open("s3://b/")
    counting.fill([f"data/{n:06}" for n in range(50_000)], modified=T)
    wanted = [f"data/{n:06}" for n in (*range(100, 2100), 40_000, 40_001, 49_999)]
    assert list(place.find([*wanted, "data/x"])) == wanted
    assert counting.lists <= 6
    assert place.find([]) == {}


# --- refusing ---------------------------------------------------------------------------------------------


def broken(shelf: Shelf, harm: Callable[[Path], object], **options: Any) -> Refused:
    """What is said of an export that was harmed, when it is named."""
    folder = write_export(shelf.root, ITEMS, as_of=T, **options)
    harm(folder)
    with pytest.raises(Refused) as caught:
        find(shelf.url, folder.name)
    assert folder.name in (caught.value.where or "")
    assert caught.value.hint
    return caught.value


def test_an_unfinished_export_is_refused_when_it_is_named(shelf: Shelf) -> None:
    def only_started(folder: Path) -> None:
        for path in folder.glob("manifest-*"):
            path.unlink()
        shutil.rmtree(folder / "data")

    error = broken(shelf, only_started)
    assert "unfinished" in error.message
    assert "COMPLETED" in (error.hint or "")


def test_a_missing_data_file_is_refused_by_its_name(shelf: Shelf) -> None:
    gone: list[str] = []

    def lose(folder: Path) -> None:
        path = sorted((folder / "data").iterdir())[1]
        gone.append(path.name)
        path.unlink()

    error = broken(shelf, lose)
    assert "1 of the export's 4 data files are missing" in error.message
    assert gone[0] in error.message


def test_files_that_lie_there_unlisted_are_not_read(local_shelf: Shelf, tmp_path: Path) -> None:
    folder = write_export(local_shelf.root, ITEMS, as_of=T)
    (folder / "data" / "stranger.json.gz").write_bytes(gzip.compress(b'{"Item":{"PK":{"S":"stranger"}}}\n'))
    assert len(records(find(local_shelf.url), tmp_path / "work")) == 20


def test_a_miscounted_export_is_refused(local_shelf: Shelf) -> None:
    error = broken(local_shelf, lambda folder: change_manifest(folder, itemCount=21))
    assert "miscounted: its files manifest lists 20 items, its summary says 21" in error.message


@pytest.mark.parametrize("name", ["manifest-summary.json", "manifest-files.json"])
def test_a_manifest_that_differs_from_its_checksum_is_refused(local_shelf: Shelf, name: str) -> None:
    def touch(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes() + b"\n")

    error = broken(local_shelf, touch)
    assert "its checksum is" in error.message and "expected" in error.message
    assert (error.where or "").endswith(name)


def test_manifests_without_checksums_are_taken_at_their_word(local_shelf: Shelf) -> None:
    folder = write_export(local_shelf.root, ITEMS, as_of=T)
    for name in ("manifest-summary.md5", "manifest-files.checksum"):
        (folder / name).unlink()
    (folder / "_started").unlink()  # it can safely be deleted, AWS says
    assert find(local_shelf.url).items == 20


def test_an_export_without_its_files_manifest_is_refused(local_shelf: Shelf) -> None:
    error = broken(local_shelf, lambda folder: (folder / "manifest-files.json").unlink())
    assert "manifest-files.json is missing" in error.message


def test_a_format_or_a_type_not_known_is_refused(local_shelf: Shelf) -> None:
    assert "PARQUET" in broken(local_shelf, lambda folder: change_manifest(folder, outputFormat="PARQUET")).message
    assert "NEW_KIND" in broken(local_shelf, lambda folder: change_manifest(folder, exportType="NEW_KIND")).message


def damage_summary(folder: Path) -> None:
    (folder / "manifest-summary.json").write_bytes(b"{")


def damage_files_manifest(folder: Path) -> None:
    (folder / "manifest-files.json").write_bytes(b"{")


def lose_a_data_file(folder: Path) -> None:
    sorted((folder / "data").iterdir())[0].unlink()


@pytest.mark.parametrize("harm", [damage_summary, damage_files_manifest, lose_a_data_file])
def test_a_damaged_export_is_passed_over_for_the_newest_that_can_be_trusted(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    write_export(shelf.root, ITEMS, as_of=T - timedelta(days=1))
    good = write_export(shelf.root, ITEMS, as_of=T)
    damaged = [write_export(shelf.root, ITEMS, as_of=T + timedelta(days=day)) for day in (1, 2)]
    for folder in damaged:
        harm(folder)
    url = shelf.url
    assert find(url).id == find(None, url).id == find(url, table="ecommerce").id == good.name
    for folder in damaged:
        assert any("export_passed_over" in r.getMessage() and folder.name in r.getMessage() for r in caplog.records)
        with pytest.raises(Refused):
            find(url, folder.name)


def test_where_every_export_is_damaged_each_is_named_with_what_is_wrong(local_shelf: Shelf) -> None:
    damaged = [write_export(local_shelf.root, ITEMS, as_of=T + timedelta(days=day)) for day in (0, 1)]
    damage_summary(damaged[0])
    lose_a_data_file(damaged[1])
    with pytest.raises(Refused) as caught:
        find(local_shelf.url, table="ecommerce")
    assert "there is no complete full export of ecommerce" in caught.value.message
    assert all(folder.name in caught.value.message for folder in damaged)
    assert "its checksum is" in caught.value.message and "data files are missing" in caught.value.message
    assert "copy the export again" in (caught.value.hint or "")


def test_the_schedules_newest_passes_over_what_cannot_be_read(local_shelf: Shelf) -> None:
    older, good, damaged = (write_export(local_shelf.root, ITEMS, as_of=T + timedelta(days=day)) for day in range(3))
    damage_summary(damaged)
    url = local_shelf.url
    found = newest_complete(url, after=T - timedelta(days=1))
    assert found is not None and found.id == good.name
    found = newest_complete(url, besides={found.location})
    assert found is not None and found.id == older.name
    with pytest.raises(Refused, match="later than 2026-11-25T03:00") as caught:
        newest_complete(url, after=T + timedelta(days=1))
    assert damaged.name in caught.value.message
    assert newest_complete(url, after=T + timedelta(days=3)) is None
    assert newest_complete(url, after=T + timedelta(days=1), besides={f"{url}AWSDynamoDB/{damaged.name}"}) is None


class DeniedStore(MemoryStore):
    """Lets nobody read what lies in one folder, as a key of KMS or an archive would."""

    denied = ""

    def fetch(self, ref: Any, directory: Path) -> Path:
        if self.denied in ref.key:
            raise StoreDenied("AccessDenied", where=self.describe(ref), hint="allow kms:Decrypt")
        return super().fetch(ref, directory)


def test_an_export_that_may_not_be_read_is_passed_over_unless_it_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, denied = (write_export(tmp_path, ITEMS, as_of=T + timedelta(days=day)) for day in range(2))
    store = DeniedStore(prefix="")
    monkeypatch.setattr(Place, "open", staticmethod(lambda url: Place(url, store)))
    for path in tmp_path.rglob("*"):
        if path.is_file():
            store.put(path.relative_to(tmp_path).as_posix(), path.read_bytes())
    store.denied = denied.name
    assert find("s3://b/").id == good.name
    with pytest.raises(StoreDenied, match=r"passed over: .*AccessDenied") as caught:
        newest_complete("s3://b/", after=T)
    assert caught.value.hint == "allow kms:Decrypt"


@pytest.mark.parametrize("format", list(ExportFormat))
def test_a_data_file_with_other_bytes_is_refused_when_it_is_read(
    shelf: Shelf, tmp_path: Path, format: ExportFormat
) -> None:
    folder = write_export(shelf.root, ITEMS, as_of=T, format=format)
    path = sorted((folder / "data").iterdir())[0]
    path.write_bytes(gzip.compress(b"{}"))
    with pytest.raises(Refused) as caught:
        records(find(shelf.url), tmp_path / "work")
    assert "its MD5 is" in caught.value.message and "the manifest says" in caught.value.message
    assert (caught.value.where or "").endswith(path.name)


def test_a_data_file_rewritten_after_it_was_found_is_refused(tmp_path: Path) -> None:
    folder = write_export(tmp_path, ITEMS, as_of=T)
    export = find(str(tmp_path))
    (folder / "data" / Path(export.files[0].ref.key).name).write_bytes(b"longer than it was" * 100)
    with pytest.raises(Refused, match="rewritten or removed"):
        fetch_verified(export, export.files[0], tmp_path)


def test_an_ion_file_with_fewer_items_than_listed_is_refused(tmp_path: Path) -> None:
    folder = write_export(tmp_path, ITEMS, as_of=T, format=ExportFormat.ION)
    lines = [json.loads(line) for line in (folder / "manifest-files.json").read_bytes().splitlines()]
    lines[0]["itemCount"] += 1
    write_manifest(folder, "files", "".join(json.dumps(line) + "\n" for line in lines).encode())
    change_manifest(folder, itemCount=21)
    with pytest.raises(Refused, match="miscounted: it holds"):
        records(find(str(tmp_path)), tmp_path / "work")


def test_an_ion_file_leaves_its_converted_copy_alone_behind(shelf: Shelf, tmp_path: Path) -> None:
    folder = write_export(shelf.root, ITEMS, as_of=T, format=ExportFormat.ION)
    export = find(shelf.url)
    records(export, tmp_path / "work")
    assert {path.name[-8:] for path in (tmp_path / "work").iterdir()} == {".json.gz"}
    assert len(list((tmp_path / "work").iterdir())) == len(list((folder / "data").iterdir())) == 4


# --- wrong arguments --------------------------------------------------------------------------------------


def test_an_export_of_another_id_or_arn_is_not_taken_for_it(local_shelf: Shelf) -> None:
    folder = write_export(local_shelf.root, ITEMS, as_of=T)
    url = local_shelf.url
    with pytest.raises(UsageError, match="there is no export here"):
        find(url, "01695000000000-00000000")
    with pytest.raises(Refused, match="this is another export"):
        find(url, f"{TABLE_ARN}2/export/{folder.name}")
    with pytest.raises(UsageError, match="there is no export here"):
        find(None, f"{local_shelf.root}/AWSDynamoDB/{folder.name}/data")


@pytest.mark.parametrize("wanted", [None, "01695000000000-0a1b2c3d", f"{TABLE_ARN}/export/01695000000000-0a1b2c3d"])
def test_without_exports_only_a_place_can_be_named(wanted: str | None) -> None:
    with pytest.raises(UsageError, match="the source shop has no `exports`") as caught:
        find(None, wanted)
    assert "--export" in (caught.value.hint or "")


def test_a_directory_that_is_not_there_is_a_wrong_argument(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        find(None, f"{tmp_path}/nowhere")
    with pytest.raises(UsageError, match="not a place"):
        find(None, "gs://bucket/exports")


def test_a_place_that_is_not_there_says_to_correct_exports(moto: MotoS3, tmp_path: Path) -> None:
    with pytest.raises(StoreDenied) as caught:
        find("s3://no-such-bucket-at-all/exports/")
    assert (caught.value.hint or "").startswith("correct the bucket in `exports`, or create it: aws s3 mb s3://no-such")
    store = Place.open(f"file://{tmp_path}/").store
    tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    with pytest.raises(StoreDenied) as caught:
        store.list_page(start_after=None)
    assert caught.value.hint == "create it, or correct `exports`"


def test_an_ion_export_without_the_extra_is_a_wrong_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_export(tmp_path, ITEMS, as_of=T, format=ExportFormat.ION)
    monkeypatch.setitem(sys.modules, "amazon.ion", None)
    with pytest.raises(UsageError) as caught:
        find(str(tmp_path))
    assert caught.value.hint == "pip install 'cdc-merge[ion]', or in a clone of the repository: pip install '.[ion]'"

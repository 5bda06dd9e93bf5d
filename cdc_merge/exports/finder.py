"""Finds exports in a bucket or a directory, and lets through only what its manifests vouch for.

What a manifest lists is read, never what happens to lie in a folder: incremental exports share one data folder.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

import base64
import hashlib
import re
from bisect import insort
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cdc_merge.arn import parse_arn
from cdc_merge.errors import ObjectChanged, Refused, StoreDenied, UsageError
from cdc_merge.exports.ion import convert, require_ion
from cdc_merge.exports.manifest import (
    FOLDER,
    SUMMARY,
    TAKE_ANEW,
    DataFile,
    Export,
    ExportFormat,
    ExportKind,
    ExportSummary,
    ListedFile,
    is_table,
    parse_files,
    parse_summary,
    paths_of,
    verify_checksum,
    verify_count,
)
from cdc_merge.exports.place import (
    Place,
    folder_url,
    is_missing_directory,
    name_of,
    parent_of,
    rewritten,
)
from cdc_merge.feed.keys import after_folder
from cdc_merge.logs import get_logger
from cdc_merge.model import ObjectRef

_ID = re.compile(r"(\d{14})-[0-9a-z]+")  # milliseconds of the request, then a random part
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
# An export is of a time before it was asked for, but the clocks that say so may differ by a minute.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html
_FUZZ = timedelta(minutes=1)

log = get_logger("cdc_merge.exports")


def find_export(exports: str | None, wanted: str | None, *, source: str, table: str | None = None) -> Export:
    """The export that `wanted` names, or the newest complete full one under `exports`; its manifests are checked.

    `exports`: the URL of the root above AWSDynamoDB/. `wanted`: the URL or local path of a root or of one export's
    folder, an export's id, or its ARN. `table`: the name or ARN that the newest is looked for; None: any.
    Raises UsageError when nothing there is an export, Refused for one that cannot be trusted. Where the newest is
    looked for, what cannot be trusted is passed over, with a warning, as long as an older one can be.
    """
    if wanted is None:
        return _newest_trusted(Place.open(_root_url(_required(exports, None, source))), table)
    arn = parse_arn(wanted)
    export_id = arn.export if arn else wanted if _ID.fullmatch(wanted) else None
    if export_id:
        root = Place.open(_root_url(_required(exports, wanted, source)))
        export = _trust(root, f"{FOLDER}/{export_id}/")
        if arn and export.arn not in (None, wanted):
            raise Refused(f"this is another export: {export.arn}", where=export.location, hint=f"expected {wanted}")
        return export
    return _find_at(folder_url(wanted), table)


def newest_complete(
    exports: str, *, table: str | None = None, after: datetime | None = None, besides: Collection[str] = ()
) -> ExportSummary | None:
    """The summary of the newest complete full export under `exports`; None: there is none.

    Neither its files nor their manifest are read: `find_export(exports, found.location)` does that. `after`: an export
    of this time or an older one is not wanted, so exports that were asked for before are not even looked for.
    `besides`: the locations of exports that are not wanted either. Raises Refused or StoreDenied if there may be one,
    but none that can be read.
    """
    url = _root_url(exports)
    if is_missing_directory(url):
        return None
    search = _Search(Place.open(url), table, after)
    for summary in search.summaries(besides):
        return summary
    if search.passed_over:
        raise search.none_left()
    return None


def fetch_verified(export: Export, file: DataFile, directory: Path) -> Path:
    """A local file, in `directory` or where it lies already, with the DynamoDB JSON lines of one data file.

    Its bytes have the MD5 of the manifest; Ion is converted, and its records counted. The items of DynamoDB JSON are
    for the reader to count. Raises Refused, or StoreUnavailable. Safe to use from several threads.
    """
    where = export.store.describe(file.ref)
    try:
        path = export.store.fetch(file.ref, directory)
        if file.md5 is not None and (found := _md5(path)) != file.md5:
            raise Refused(
                f"the file is not what was exported: its MD5 is {found}, the manifest says {file.md5}",
                where=where,
                hint=f"copy the export again, whole, or {TAKE_ANEW}",
            )
        if export.format is ExportFormat.DYNAMODB_JSON:
            return path
        lines = directory / f"{hashlib.sha256(file.ref.key.encode()).hexdigest()[:32]}.json.gz"
        count = convert(path, lines, where=where)
        export.store.verify(file.ref, path)
    except ObjectChanged as error:
        raise rewritten(where) from error
    if path.parent == directory:
        path.unlink()  # a copy of ours, of no more use
    if count != file.items:
        raise Refused(
            f"the file is miscounted: it holds {count:,} items, the manifest says {file.items:,}",
            where=where,
            hint=TAKE_ANEW,
        )
    return lines


@dataclass
class _Search:
    """Complete full exports below a root, newest first; what cannot be read or trusted is passed over and told.

    `table`: None: of any. `after`: only those of a later time.
    """

    root: Place
    table: str | None
    after: datetime | None = None
    passed_over: list[Refused | StoreDenied] = field(default_factory=list)

    def summaries(self, besides: Collection[str] = ()) -> Iterator[ExportSummary]:
        """One at a time, looking no further than the newest takes. `besides`: locations that are not wanted."""
        found: list[ExportSummary] = []  # the newest last
        for name in sorted(_export_folders(self.root, self.after), key=_asked_at, reverse=True):
            while found and _asked_at(name) + _FUZZ < found[-1].as_of:
                yield found.pop()
            folder = f"{FOLDER}/{name}/"
            if self.root.locate(folder).rstrip("/") not in besides and (summary := self._read(folder)):
                insort(found, summary, key=lambda each: each.as_of)
        yield from reversed(found)

    def trusted(self) -> Iterator[Export]:
        """The same with their files."""
        for summary in self.summaries():
            try:
                export = _trust(self.root, summary.location.removeprefix(self.root.url) + "/")
            except (Refused, StoreDenied) as error:
                self._pass_over(summary.location, error)
            else:
                yield export

    def none_left(self) -> Refused | StoreDenied:
        """The error for a search that came to nothing; where a person must give access first, that."""
        of_table = f" of {self.table}" if self.table else ""
        later = f" later than {self.after.isoformat()}" if self.after else ""
        reasons = "".join(f"\n  passed over: {error.where}: {error.message}" for error in self.passed_over)
        denied = next((error for error in self.passed_over if isinstance(error, StoreDenied)), None)
        first = denied or next(iter(self.passed_over), None)
        return (StoreDenied if denied else Refused)(
            f"there is no complete full export{of_table}{later}{reasons}",
            where=f"{self.root.url}{FOLDER}/",
            hint=first.hint if first else f"wait for the one under way, or {TAKE_ANEW}",
        )

    def _read(self, folder: str) -> ExportSummary | None:
        """What a folder's summary says; None: it is unfinished, not wanted, or passed over."""
        try:
            manifests = self.root.manifests(folder)
            summary = _read_summary(self.root, folder, manifests) if SUMMARY in manifests else None
        except (Refused, StoreDenied) as error:
            self._pass_over(self.root.locate(folder).rstrip("/"), error)
            return None
        if summary is None or summary.kind is not ExportKind.FULL:
            return None
        if self.table and not is_table(summary.table_arn, self.table):
            return None
        return summary if self.after is None or summary.as_of > self.after else None

    def _pass_over(self, location: str, error: Refused | StoreDenied) -> None:
        self.passed_over.append(error)
        log.warning("export_passed_over", location=location, error=str(error))


def _required(exports: str | None, wanted: str | None, source: str) -> str:
    if exports is None:
        raise UsageError(
            f"the source {source} has no `exports` to look for {wanted or 'the newest export'} in",
            hint="set `exports: s3://bucket/prefix/` of the source, or give the place itself: --export s3://...",
        )
    return exports


def _root_url(text: str) -> str:
    """The place above AWSDynamoDB/, also when the URL goes down to that."""
    url = folder_url(text)
    return parent_of(url) if name_of(url) == FOLDER else url


def _find_at(url: str, table: str | None) -> Export:
    """What lies at a URL: one export's folder, inside AWSDynamoDB/ or copied alone, or a root."""
    if name_of(parent_of(url)) == FOLDER:
        return _trust(Place.open(parent_of(parent_of(url))), f"{FOLDER}/{name_of(url)}/")
    place = Place.open(_root_url(url))
    if place.has(f"{FOLDER}/"):
        return _newest_trusted(place, table)
    return _trust(place, "")


def _newest_trusted(root: Place, table: str | None) -> Export:
    search = _Search(root, table)
    for export in search.trusted():
        return export
    raise search.none_left()


def _export_folders(root: Place, after: datetime | None) -> Iterator[str]:
    """The names of the folders in AWSDynamoDB/; one request each, however many files lie in them."""
    last = f"{FOLDER}/"
    if after is not None:
        last += f"{max((after - _FUZZ - _EPOCH) // timedelta(milliseconds=1), 0):014d}"
    while (path := root.first_after(last)) is not None and path.startswith(f"{FOLDER}/"):
        name, slash, _ = path.removeprefix(f"{FOLDER}/").partition("/")
        if slash and name != "data":  # what incremental exports share
            yield name
        last = after_folder(f"{FOLDER}/{name}/") if slash else path


def _asked_at(name: str) -> datetime:
    """When an export was requested, told by its id; a folder of another name may be of any time."""
    found = _ID.fullmatch(name)
    return _EPOCH + timedelta(milliseconds=int(found[1])) if found else _LATEST - _FUZZ


def _read_summary(root: Place, folder: str, manifests: dict[str, ObjectRef]) -> ExportSummary:
    location = root.locate(folder).rstrip("/")
    return parse_summary(_read_manifest(root, manifests, SUMMARY, location), location=location)


def _read_manifest(root: Place, manifests: dict[str, ObjectRef], name: str, location: str) -> bytes:
    """The bytes of a manifest, which agree with each checksum beside it."""
    data = root.read(manifests[name])
    stem = name.removesuffix(".json")
    for checksum in (f"{stem}.md5", f"{stem}.checksum"):  # AWS names both
        if checksum in manifests:
            verify_checksum(data, root.read(manifests[checksum]), where=f"{location}/{name}")
    return data


def _trust(root: Place, folder: str) -> Export:
    """The export in a folder, its manifests checked against each other and all its files found."""
    location = root.locate(folder).rstrip("/")
    manifests = root.manifests(folder)
    if SUMMARY not in manifests:
        if manifests or root.has(f"{folder}_started") or root.has(f"{folder}data/"):
            raise Refused(
                f"the export is unfinished: it has no {SUMMARY}",
                where=location,
                hint=f"wait until its status is COMPLETED (aws dynamodb list-exports); if it FAILED, {TAKE_ANEW}",
            )
        raise UsageError(
            "there is no export here",
            where=location,
            hint=f"name the folder that holds {SUMMARY}, or the one that holds {FOLDER}/",
        )
    summary = _read_summary(root, folder, manifests)
    if summary.format is ExportFormat.ION:
        require_ion()
    name = summary.files_key.rpartition("/")[2]
    if name not in manifests:
        raise Refused(
            f"{name} is missing, and nothing else tells which files are the export's",
            where=location,
            hint=f"copy the export again, whole, or {TAKE_ANEW}",
        )
    listed = parse_files(_read_manifest(root, manifests, name, location), where=f"{location}/{name}")
    verify_count(summary, listed)
    return Export(
        id=summary.id,
        location=location,
        kind=summary.kind,
        format=summary.format,
        as_of=summary.as_of,
        since=summary.since,
        items=summary.items,
        files=_find_files(root, folder, listed, location),
        arn=summary.arn,
        table_arn=summary.table_arn,
        store=root.store,
    )


def _find_files(root: Place, folder: str, listed: Sequence[ListedFile], location: str) -> tuple[DataFile, ...]:
    """Every listed file where it lies; either all lie below AWSDynamoDB/, or all in the folder that was copied."""
    missing: list[str] = []
    for paths in ([paths_of(file.key)[0] for file in listed], [folder + paths_of(file.key)[1] for file in listed]):
        refs = root.find(paths)
        if len(refs) == len(set(paths)):
            return tuple(DataFile(refs[path], file.items, file.md5) for path, file in zip(paths, listed, strict=True))
        missing = missing or [root.locate(path) for path in paths if path not in refs]
    raise Refused(
        f"{len(missing):,} of the export's {len(listed):,} data files are missing, the first is {missing[0]}",
        where=location,
        hint=f"copy the export again, whole, or {TAKE_ANEW}",
    )


def _md5(path: Path) -> str:
    """In base64, as manifests have it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()

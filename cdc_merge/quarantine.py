"""Records and objects that could not be used: look at them, try them again, let them go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cdc_merge.errors import UsageError
from cdc_merge.feed.keys import just_before
from cdc_merge.ledger import Counts
from cdc_merge.model import ObjectRef
from cdc_merge.preparing import Job
from cdc_merge.render import Name
from cdc_merge.scratch import scratch_folder
from cdc_merge.source_worker import SourceWorker
from cdc_merge.staging import Place
from cdc_merge.warehouses import Dialect, Row, Session, Statement

_PORTION = 500  # entries tried again in one transaction
_COLUMNS = "id, source, bucket, object_key, version, record, byte_offset, reason, detail, quarantined_at"


@dataclass(frozen=True)
class Entry:
    """One entry. `record` and `byte_offset` are None for a whole object, and then `raw` is too."""

    id: str
    source: str
    bucket: str
    object_key: str
    version: str
    record: int | None
    byte_offset: int | None
    reason: str
    detail: str
    quarantined_at: datetime
    raw: bytes | None = None

    @property
    def is_object(self) -> bool:
        return self.record is None

    @property
    def place(self) -> str:
        if self.is_object:
            return self.object_key
        return f"{self.object_key}, record {self.record} at byte {self.byte_offset}"


class Quarantine:
    """Queries on the quarantine table; each method takes an open session."""

    def __init__(self, metadata: Mapping[str, Name], dialect: Dialect) -> None:
        self._table = dialect.quote(*metadata["quarantine"].parts)
        self._literal = dialect.literal
        self._raw = dialect.quote("raw")  # a word of some engine's

    def entries(
        self,
        session: Session,
        *,
        sources: Sequence[str] = (),
        ids: Sequence[str] = (),
        with_raw: bool = False,
    ) -> list[Entry]:
        """The entries of these sources (default: all) or with these ids or beginnings of ids, oldest first.

        Raises UsageError for an id that no entry, or more than one, begins with.
        """
        conditions = ["TRUE"]
        if sources:
            conditions.append(f"source IN ({', '.join(map(self._literal, sources))})")
        if ids:
            conditions.append("(" + " OR ".join(f"id LIKE {self._literal(_plain(i) + '%')}" for i in ids) + ")")
        columns = _COLUMNS + (f", {self._raw}" if with_raw else "")
        rows = session.query(
            f"SELECT {columns} FROM {self._table} WHERE {' AND '.join(conditions)} "
            "ORDER BY quarantined_at, object_key, byte_offset, id"
        )
        entries = [_entry(row) for row in rows]
        for wanted in ids:
            found = [e for e in entries if e.id.startswith(wanted)]
            if len(found) != 1:
                raise UsageError(
                    f"{'no' if not found else 'more than one'} quarantine entry begins with {wanted!r}",
                    hint="cdc-merge quarantine list",
                )
        return entries

    def counts(self, session: Session) -> dict[str, int]:
        """Entries waiting, by source."""
        return dict(session.query(f"SELECT source, count(*) FROM {self._table} GROUP BY source"))

    def discard(self, session: Session, entries: Sequence[Entry]) -> None:
        """Let entries go for good."""
        for portion in _portions(entries):
            ids = ", ".join(self._literal(e.id) for e in portion)
            session.run([Statement("discard", f"DELETE FROM {self._table} WHERE id IN ({ids})")])


def retry(worker: SourceWorker, entries: Sequence[Entry]) -> tuple[Counts, list[Entry]]:
    """Merge entries of the worker's source again, under the same rules of order as any change.

    What is usable now leaves the quarantine in the transaction that merges it; what is not, stays. Returns the
    counts, and the entries whose objects are no longer there.
    """
    total, gone = Counts(), []
    for portion in _portions([e for e in entries if not e.is_object]):
        total += _retry_records(worker, portion)
    for entry in entries:
        if entry.is_object:
            ref = _find(worker, entry)
            if ref is None:
                gone.append(entry)
            else:
                total += worker.merge_job(Job((ref,), again=True, release=(entry.id,)))
    return total, gone


def _retry_records(worker: SourceWorker, entries: Sequence[Entry]) -> Counts:
    with scratch_folder() as folder:
        files = []
        for number, entry in enumerate(entries):
            file = folder / str(number)
            file.write_bytes(entry.raw or b"")
            files.append(file)
        job = Job(
            refs=tuple(ObjectRef(e.object_key, e.version, len(e.raw or b""), e.quarantined_at) for e in entries),
            release=tuple(e.id for e in entries),
            places=tuple(Place(e.id, e.record, e.byte_offset) for e in entries),
        )
        return worker.merge_files(job, files)


def _find(worker: SourceWorker, entry: Entry) -> ObjectRef | None:
    """The object as it is stored now: it may have been written anew since."""
    for ref in worker.store.list_page(start_after=just_before(entry.object_key)).objects:
        if ref.key == entry.object_key:
            return ref
    return None


def _entry(row: Row) -> Entry:
    raw = row[10] if len(row) > 10 else None
    return replace(Entry(*row[:10]), raw=bytes(raw) if raw is not None else None)


def _portions(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), _PORTION):
        yield entries[start : start + _PORTION]


def _plain(text: str) -> str:
    """A beginning of an id: hexadecimal digits only, so nothing in it means anything to LIKE."""
    if not text or any(c not in "0123456789abcdef" for c in text):
        raise UsageError(f"{text!r} is not a quarantine id", hint="cdc-merge quarantine list")
    return text

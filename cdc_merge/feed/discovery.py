"""Finds the objects of a feed that are not merged yet, at a cost that follows what is new, not what is there.

No "last key" is trusted: Firehose names an object after its oldest record and retries for a day, so objects
appear under older folders, and it may rewrite an object in place under the same key.
https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html
https://docs.aws.amazon.com/firehose/latest/dev/retry.html

A poll reads, in pages of 1,000 keys, skipping what it has read already:

- the tail: the last two folders, at most the last 2,000 keys known, and all that lies after them;
- the places of objects returned before and not merged since, so that a rewritten or removed one is noticed;
- up to two fronts: what follows the newest object of a folder where something was new in the last two hours
  (several streams below one prefix, partitioned prefixes, hours written without a leading zero);
- one page of the warm sweep: keys from the smallest one modified in the last 26 hours on, round and round;
- one page of the cold sweep: all keys, round and round.

So a poll that finds nothing makes 1 to 7 requests. How long an object can stay unseen, in polls:

- in the last two folders, after the last key, or next in a front: 1, or (fronts / 2) with many fronts;
- elsewhere among the last 26 hours' keys: their number / 1,000 (a stream of one object a second: 94 polls,
  8 minutes at 5 s). With partitions below one prefix these keys may span most of it;
- anywhere else: the number of all objects / 1,000 (a million: 1,000 polls, 83 minutes at 5 s).

Objects in the folders Firehose writes errors to are not data. A walk passes each such folder over with one
request, and the tail passes over any stretch of a page or more that held no data.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from cdc_merge.feed.keys import Ranges, after_folder, error_folder, folder_of, is_data, just_before
from cdc_merge.feed.store import ObjectStore
from cdc_merge.model import ObjectRef

_WARM = timedelta(hours=26)  # Firehose retries for up to 24 hours; the rest is for clocks and slow writes
_HOT = timedelta(hours=2)  # the hour folder being filled, and the one before


def _digest(ref: ObjectRef) -> bytes:
    return blake2b(f"{ref.key}\0{ref.version}".encode(), digest_size=16).digest()


@dataclass(frozen=True)
class _Round:
    """What one poll has read, and the objects it found that are not merged, by key."""

    read: Ranges = field(default_factory=Ranges)
    found: dict[str, ObjectRef] = field(default_factory=dict)


class Discovery:
    """Finds new objects of one store. For one thread.

    `is_merged` asks the ledger which refs are merged; at most 1,000 at a time, and only of refs not known
    to be merged already. What is known stays known: a ledger that was emptied needs a new Discovery.
    `known_limit` bounds what is kept in memory (about 100 bytes each); beyond it the ledger is asked again.
    `requests` counts the list requests made.
    """

    def __init__(
        self,
        store: ObjectStore,
        is_merged: Callable[[Sequence[ObjectRef]], set[ObjectRef]],
        clock: Callable[[], datetime],
        *,
        sweep_pages: int = 1,
        front_pages: int = 2,
        tail_keys: int = 2_000,
        tail_pages: int = 50,
        known_limit: int = 1_000_000,
    ) -> None:
        self.requests = 0
        self._store = store
        self._is_merged = is_merged
        self._clock = clock
        self._sweep_pages = sweep_pages
        self._front_pages = front_pages
        self._tail_keys = tail_keys
        self._tail_pages = tail_pages
        self._known_limit = known_limit
        self._known: set[bytes] = set()
        self._pending: dict[str, ObjectRef] = {}  # returned, not merged yet
        self._last: list[str] = []  # the greatest keys of data seen, sorted
        self._barren = Ranges()  # stretches without data, for the tail to pass over
        self._smallest: dict[datetime, str] = {}  # by hour of modification: the smallest key
        self._fronts: OrderedDict[str, tuple[datetime, str]] = OrderedDict()  # by folder: when, greatest key
        self._front = self._warm = self._cold = ""  # where each goes on

    def full(self) -> Iterator[list[ObjectRef]]:
        """List everything, page by page, and give what is not merged in each. A request for 1,000 objects.

        Lazy: the caller may merge, and mark as merged, between pages.
        """
        self._pending = {}
        position: str | None = ""
        while position is not None:
            round_ = _Round()
            position = self._read(position, round_, found_at=None)
            if round_.found:
                yield list(round_.found.values())

    def poll(self) -> list[ObjectRef]:
        """What is not merged, as far as one poll sees it, in key order.

        An object is given again at each poll until `mark_merged`; if it was removed or rewritten, it is
        dropped or given in its new version. A poll reads at most `tail_pages` pages of the tail; the keys
        it saw move the tail on, so the next poll goes on from there.
        """
        now = self._clock()
        self._forget_before(now)
        round_ = _Round()
        self._read_tail(round_, now)
        for key in sorted(self._pending):
            self._read_unless_read(just_before(key), key, round_, now)
        self._read_fronts(round_, now)
        if self._smallest:
            floor = just_before(min(self._smallest.values()))
            self._warm = self._sweep(round_, max(self._warm, floor), floor, now)
        self._cold = self._sweep(round_, self._cold, "", now)
        self._pending = dict(sorted(round_.found.items()))
        return list(self._pending.values())

    def mark_merged(self, refs: Iterable[ObjectRef]) -> None:
        """The ledger has these now: they are not given again."""
        for ref in refs:
            self._know(ref)
            if self._pending.get(ref.key) == ref:
                del self._pending[ref.key]

    # --- what a poll reads ------------------------------------------------------------------------------

    def _read_tail(self, round_: _Round, now: datetime) -> None:
        position: str | None = self._tail_start()
        for _ in range(self._tail_pages):
            unread = None if position is None else self._barren.leave(position)
            if unread is None:
                break
            position = self._read(unread, round_, found_at=now)

    def _tail_start(self) -> str:
        """Before the folder before the folder of the greatest key, if the keys kept reach back that far."""
        if len(self._last) < self._tail_keys:
            return ""
        first = bisect_left(self._last, folder_of(self._last[-1]))
        if first:
            first = bisect_left(self._last, folder_of(self._last[first - 1]))
        return folder_of(self._last[first]) if first else self._last[0]

    def _read_fronts(self, round_: _Round, now: datetime) -> None:
        keys = sorted(key for _, key in self._fronts.values())
        turn = bisect_right(keys, self._front)
        left = self._front_pages
        for key in keys[turn:] + keys[:turn]:
            if left and round_.read.leave(key) == key:
                self._read(key, round_, found_at=now)
                self._front = key
                left -= 1

    def _read_unless_read(self, position: str, key: str, round_: _Round, now: datetime) -> None:
        unread = round_.read.leave(position)
        if unread is not None and unread < key:
            self._read(unread, round_, found_at=now)

    def _sweep(self, round_: _Round, position: str, floor: str, now: datetime) -> str:
        """Read the next pages of an endless walk from `floor` to the end; return where to go on."""
        for _ in range(self._sweep_pages):
            unread = round_.read.leave(position)
            if unread is None:
                unread = round_.read.leave(floor)
            if unread is None:
                return floor
            position = self._read(unread, round_, found_at=now) or floor
        return position

    # --- reading a page ---------------------------------------------------------------------------------

    def _read(self, position: str, round_: _Round, *, found_at: datetime | None) -> str | None:
        """Take in one page of keys after `position`; the position to go on from, or None at the end.

        `found_at`: new objects count as modified then (a file copied with its time is new all the same).
        """
        self.requests += 1
        page = self._store.list_page(start_after=position or None)
        prefix = self._store.prefix
        data = [ref for ref in page.objects if is_data(ref.key, prefix, size=ref.size)]
        unknown = [ref for ref in data if _digest(ref) not in self._known]
        merged = self._is_merged(unknown) if unknown else set()
        fresh: set[str] = set()
        for ref in unknown:
            if ref in merged:
                self._know(ref)
                continue
            if found_at is not None and self._pending.get(ref.key) != ref:
                fresh.add(ref.key)
            self._pending[ref.key] = round_.found[ref.key] = ref
        self._note_places(data, fresh, found_at)
        end = None if page.is_last else page.objects[-1].key
        if end is not None and (folder := error_folder(end, prefix)) is not None:
            end = max(end, after_folder(folder))
        round_.read.add(position, end)
        if end is not None and not data:
            self._barren.add(position, end)
        return end

    def _note_places(self, data: Sequence[ObjectRef], fresh: set[str], found_at: datetime | None) -> None:
        """Remember which keys are the greatest, and where something is going on."""
        keys = [ref.key for ref in data]
        if keys and (len(self._last) < self._tail_keys or keys[-1] > self._last[0]):
            self._last = sorted({*self._last, *keys})[-self._tail_keys :]
        now = found_at or self._clock()
        for ref in data:
            when = now if ref.key in fresh else ref.modified
            if when <= now - _WARM:
                continue
            hour = when.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            self._smallest[hour] = min(ref.key, self._smallest.get(hour, ref.key))
            if when > now - _HOT:
                folder = folder_of(ref.key)
                known_when, known_key = self._fronts.get(folder, (when, ref.key))
                self._fronts[folder] = (max(when, known_when), max(ref.key, known_key))
                self._fronts.move_to_end(folder)
        while len(self._fronts) > 1_000:
            self._fronts.popitem(last=False)

    def _forget_before(self, now: datetime) -> None:
        for hour in [hour for hour in self._smallest if hour <= now - _WARM - timedelta(hours=1)]:
            del self._smallest[hour]
        for folder in [folder for folder, (when, _) in self._fronts.items() if when <= now - _HOT]:
            del self._fronts[folder]

    def _know(self, ref: ObjectRef) -> None:
        if len(self._known) >= self._known_limit:
            self._known.clear()
        self._known.add(_digest(ref))

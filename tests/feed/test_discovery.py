"""What is new is found, wherever it appears; what is merged is not found again; and a poll stays cheap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdc_merge.errors import StoreDenied
from cdc_merge.feed.directory import DirectoryStore
from cdc_merge.feed.discovery import Discovery
from cdc_merge.feed.keys import Ranges, error_folder, is_data, just_before
from cdc_merge.feed.store import ObjectStore, open_store
from cdc_merge.model import ObjectRef
from tests.support.s3 import MotoS3, moto_s3
from tests.support.stores import DirectoryPlace, MemoryStore, Place, S3Place

START = datetime(2026, 11, 24, 19, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoS3]:
    with moto_s3() as server:
        yield server


@pytest.fixture(params=["s3", "directory", "memory-double"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        server: MotoS3 = request.getfixturevalue("moto")
        bucket = server.create_bucket()
        return S3Place(open_store(f"s3://{bucket}/feed/"), server.client)
    if request.param == "directory":
        return DirectoryPlace(DirectoryStore(tmp_path))
    return MemoryStore()


@dataclass
class Rig:
    """A Discovery with a set in the ledger's place."""

    store: ObjectStore
    options: dict[str, int] = field(default_factory=dict)
    merged: set[ObjectRef] = field(default_factory=set)
    asked: int = 0
    now: datetime = START
    all_merged: bool = False

    def __post_init__(self) -> None:
        self.discovery = self.restart()

    def restart(self) -> Discovery:
        self.discovery = Discovery(self.store, self.is_merged, lambda: self.now, **self.options)
        return self.discovery

    def is_merged(self, refs: Sequence[ObjectRef]) -> set[ObjectRef]:
        assert 0 < len(refs) <= 1_000
        self.asked += len(refs)
        return set(refs) if self.all_merged else self.merged.intersection(refs)

    def merge(self, refs: Sequence[ObjectRef]) -> None:
        self.merged.update(refs)
        self.discovery.mark_merged(refs)

    def merge_all(self) -> None:
        for page in self.discovery.full():
            self.merge(page)

    def poll(self) -> list[str]:
        """The names found, after merging them."""
        refs = self.discovery.poll()
        self.merge(refs)
        return [ref.key.removeprefix(self.store.prefix) for ref in refs]

    def requests_of_a_poll(self) -> int:
        before = self.discovery.requests
        assert self.poll() == []
        return self.discovery.requests - before

    def polls_until_found(self, name: str, *, at_most: int) -> int:
        for count in range(1, at_most + 1):
            if name in self.poll():
                return count
        raise AssertionError(f"{name} was not found in {at_most} polls")


def hours(count: int, each: int, *, first: datetime = START) -> list[str]:
    """Names as Firehose gives them: `count` hours up to `first`, `each` objects an hour."""
    return [
        f"{hour:%Y/%m/%d/%H}/stream-1-{hour:%Y-%m-%d-%H}-{n:06}"
        for hour in (first - timedelta(hours=back) for back in reversed(range(count)))
        for n in range(each)
    ]


# --- on every store -------------------------------------------------------------------------------------


def test_everything_is_found_once_and_then_nothing(place: Place) -> None:
    for name in hours(3, 2):
        place.put(name)
    rig = Rig(place.store)
    pages = list(rig.discovery.full())
    assert [ref.key.removeprefix(place.store.prefix) for page in pages for ref in page] == hours(3, 2)
    rig.merge([ref for page in pages for ref in page])
    assert rig.poll() == []


def test_a_late_object_under_an_older_hour_is_found(place: Place) -> None:
    for name in hours(30, 1):
        place.put(name)
    rig = Rig(place.store)
    rig.merge_all()
    place.put("2026/11/23/14/late")
    assert rig.poll() == ["2026/11/23/14/late"]


def test_a_rewritten_object_is_found_again_in_its_new_version(place: Place) -> None:
    place.put("2026/11/24/18/a", b"old")
    rig = Rig(place.store)
    rig.merge_all()
    place.put("2026/11/24/18/a", b"newer")
    assert rig.poll() == ["2026/11/24/18/a"]
    assert len(rig.merged) == 2
    assert rig.poll() == []


def test_errors_of_firehose_and_folder_markers_are_not_data(place: Place) -> None:
    names = ["2026/11/24/19/a", "processing-failed/2026/328/19/b", "x/format-conversion-failed/c", "zz"]
    for name in names:
        place.put(name)
    if not isinstance(place, DirectoryPlace):
        place.put("2026/11/24/", b"")
    assert Rig(place.store).poll() == ["2026/11/24/19/a", "zz"]


def test_an_object_is_given_again_until_it_is_marked_as_merged(place: Place) -> None:
    place.put("a")
    rig = Rig(place.store)
    first, again = rig.discovery.poll(), rig.discovery.poll()
    assert first == again != []
    rig.discovery.mark_merged(first)
    assert rig.discovery.poll() == []


def test_an_object_given_but_then_rewritten_or_removed_is_not_given_as_it_was(place: Place) -> None:
    place.put("a", b"old")
    place.put("b")
    rig = Rig(place.store)
    old = rig.discovery.poll()
    place.put("a", b"newer")
    place.remove("b")
    (new,) = rig.discovery.poll()
    assert new.key == old[0].key and new != old[0]


def test_after_a_restart_what_the_ledger_has_is_not_given(place: Place) -> None:
    for name in hours(2, 3):
        place.put(name)
    rig = Rig(place.store)
    rig.merge_all()
    rig.restart()
    assert list(rig.discovery.full()) == []
    asked = rig.asked
    assert rig.poll() == []
    assert rig.asked == asked  # the ledger is not asked twice about the same version


def test_a_store_that_refuses_is_heard(tmp_path: Path, moto: MotoS3) -> None:
    for url in ("s3://missing-bucket/feed/", f"file://{tmp_path}/missing"):
        with pytest.raises(StoreDenied):
            Rig(open_store(url)).poll()


# --- many objects, on the double ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> Rig:
    """28,000 merged objects over 70 days, the last 26 hours holding 4,000 of them."""
    store = MemoryStore()
    store.fill(hours(24 * 70 - 26, 15, first=START - timedelta(hours=27)), modified=LONG_AGO)
    for name in hours(27, 150):
        store.put(name, modified=START - timedelta(hours=1))
    rig = Rig(store)
    rig.merge_all()
    return rig


def test_a_poll_over_many_merged_objects_makes_a_handful_of_requests(many: Rig) -> None:
    assert max(many.requests_of_a_poll() for _ in range(60)) <= 7


def test_a_poll_over_many_merged_objects_does_not_ask_the_ledger(many: Rig) -> None:
    asked = many.asked
    many.requests_of_a_poll()
    assert many.asked == asked


def test_new_objects_at_the_end_and_in_the_current_hour_are_found_by_the_next_poll(many: Rig) -> None:
    assert isinstance(many.store, MemoryStore)
    for name in [
        "2026/11/24/19/another-stream",
        "2026/11/24/18/late",
        "2026/11/24/20/stream-1",
        "2026/11/25/00/s",
    ]:
        many.store.put(name)
        assert many.poll() == [name]


@pytest.mark.parametrize("name", ["2026/11/24/19/0", "2026/11/24/18/0", "2026/11/24/18/z", "2026/11/24/19/z"])
def test_the_tail_alone_finds_what_comes_in_the_last_two_folders(name: str) -> None:
    store = MemoryStore()
    store.fill(hours(50, 150), modified=LONG_AGO)
    rig = Rig(store, {"sweep_pages": 0, "front_pages": 0})
    rig.merge_all()
    assert rig.requests_of_a_poll() == 1
    store.put(name)
    assert rig.poll() == [name]


def test_the_tail_of_one_endless_folder_is_its_last_2000_objects() -> None:
    store = MemoryStore()
    store.fill([f"{n:05}" for n in range(10_000)], modified=LONG_AGO)
    rig = Rig(store, {"sweep_pages": 0, "front_pages": 0})
    rig.merge_all()
    assert rig.requests_of_a_poll() == 2
    store.put("08001-late")
    store.put("07999-late")
    assert rig.poll() == ["08001-late"]


def test_an_object_late_by_a_day_is_found_within_the_warm_sweep(many: Rig) -> None:
    assert isinstance(many.store, MemoryStore)
    many.store.put("2026/11/23/18/late")
    assert many.polls_until_found("2026/11/23/18/late", at_most=5) >= 1


def test_an_object_in_an_ancient_folder_is_found_within_the_cold_sweep(many: Rig) -> None:
    assert isinstance(many.store, MemoryStore)
    many.store.put("2026/10/01/00/ancient")
    assert many.polls_until_found("2026/10/01/00/ancient", at_most=30) >= 1


def test_an_object_that_a_sweep_found_far_away_is_given_at_each_poll_until_it_is_merged() -> None:
    store = MemoryStore()
    store.fill(hours(24 * 30, 150), modified=LONG_AGO)
    rig = Rig(store, {"front_pages": 0})
    rig.merge_all()
    store.put("2026/11/01/00/ancient", modified=LONG_AGO)

    def is_given() -> bool:
        return [ref.key for ref in rig.discovery.poll()] == [store.prefix + "2026/11/01/00/ancient"]

    assert any(is_given() for _ in range(120))  # by a sweep, which goes on from there
    assert [is_given() for _ in range(20)] == [True] * 20


def test_a_million_merged_objects_in_one_folder_cost_a_poll_no_more() -> None:
    store = MemoryStore()
    store.fill([f"{n:07}" for n in range(995_000, 1_000_000)], modified=LONG_AGO)
    rig = Rig(store)
    rig.merge_all()
    store.fill([f"{n:07}" for n in range(995_000)], modified=LONG_AGO)
    rig.all_merged = True
    assert max(rig.requests_of_a_poll() for _ in range(5)) <= 7
    rig.all_merged = False
    store.put("1000000")
    assert rig.poll()[-1:] == ["1000000"]


def test_many_new_objects_are_read_over_several_polls_without_a_gap() -> None:
    store = MemoryStore(page=10)
    rig = Rig(store, {"tail_pages": 3, "tail_keys": 20})
    names = hours(20, 30)
    store.fill(names, modified=LONG_AGO)
    found = [rig.poll() for _ in range(20)]
    assert sorted(name for poll in found for name in poll) == names
    assert max(map(len, found)) <= 10 * (3 + 2 + 2)


def test_errors_of_firehose_cost_one_request_however_many_they_are() -> None:
    store = MemoryStore()
    store.fill(hours(100, 50), modified=LONG_AGO)
    rig = Rig(store)
    rig.merge_all()
    store.fill([f"processing-failed/2026/328/19/{n}" for n in range(20_000)], modified=LONG_AGO)
    store.put("zz/after-the-errors")
    before = rig.discovery.requests
    assert rig.poll() == ["zz/after-the-errors"]
    assert rig.discovery.requests - before <= 8
    rig.restart()
    assert list(rig.discovery.full()) == []
    assert rig.discovery.requests <= 8  # 5,000 objects and the errors


def test_errors_in_folders_of_the_users_own_do_not_slow_the_polls_down() -> None:
    store = MemoryStore()
    store.fill(hours(100, 50), modified=LONG_AGO)
    rig = Rig(store)
    rig.merge_all()
    days = [f"errors/{day:03}/processing-failed/{n:03}" for day in range(300) for n in range(100)]
    store.fill([name for name in days if not name.endswith("99")], modified=LONG_AGO)
    rig.poll()
    assert max(rig.requests_of_a_poll() for _ in range(20)) <= 7
    store.put("zz/after-the-errors")
    assert rig.poll() == ["zz/after-the-errors"]


@pytest.mark.parametrize(
    "name",
    [
        "2026/11/{}",  # months without a leading zero: 11 lies before 9
        "stream=a/2026/11/24/{}",
    ],
)
def test_what_follows_a_busy_folder_is_found_at_once_though_it_does_not_lie_last(name: str) -> None:
    store = MemoryStore()
    store.fill([f"2026/9/{n:05}" for n in range(9_000)], modified=LONG_AGO)
    store.fill([f"stream=b/{n:05}" for n in range(9_000)], modified=LONG_AGO)
    store.fill([f"0/{n:05}" for n in range(9_000)], modified=LONG_AGO)
    rig = Rig(store)
    rig.merge_all()
    store.put(name.format("10/1"), modified=START)
    rig.polls_until_found(name.format("10/1"), at_most=30)
    for following in ["10/2", "10/3", "11/1", "11/2"]:
        store.put(name.format(following), modified=START)
        rig.now += timedelta(minutes=5)
        assert rig.poll() == [name.format(following)]


def test_memory_is_bounded_and_the_ledger_asked_again_beyond_it() -> None:
    store = MemoryStore(page=5)
    store.fill(hours(10, 10), modified=LONG_AGO)
    rig = Rig(store, {"known_limit": 7, "tail_keys": 10})
    rig.merge_all()
    assert len(rig.discovery._known) <= 7
    assert [rig.poll() for _ in range(30)] == [[]] * 30


# --- any interleaving -----------------------------------------------------------------------------------

_NAMES = st.one_of(
    st.builds("{}/{}".format, st.integers(0, 6), st.integers(0, 6)),
    st.builds("{}{}/{}".format, st.integers(0, 3), st.sampled_from(["", "-x", "/sub"]), st.integers(0, 3)),
    st.builds("{}/processing-failed/{}".format, st.integers(0, 6), st.integers(0, 6)),
    st.sampled_from(["a", "z", "z\U0010ffff", "\U0010ffff"]),
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _NAMES),  # a rewrite where it is there already
        st.tuples(st.just("remove"), _NAMES),
        st.tuples(st.just("poll"), st.sampled_from(["merge all", "merge half", "merge none"])),
        st.tuples(st.just("wait"), st.integers(1, 30 * 60)),
        st.tuples(st.just("list all"), st.just("")),
        st.tuples(st.just("restart"), st.just("")),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS, page=st.integers(1, 4), tail_keys=st.integers(1, 6), known_limit=st.integers(1, 50))
def test_whatever_happens_all_is_found_and_nothing_merged_is_given_again(
    steps: list[tuple[str, str | int]], page: int, tail_keys: int, known_limit: int
) -> None:
    store = MemoryStore(page=page)
    rig = Rig(store, {"tail_keys": tail_keys, "tail_pages": 2, "front_pages": 1, "known_limit": known_limit})

    def check(refs: list[ObjectRef]) -> None:
        assert set(refs) <= store.refs - rig.merged
        assert [ref.key for ref in refs] == sorted({ref.key for ref in refs})

    for step, argument in steps:
        name = str(argument)
        if step == "put":
            store.put(name, modified=rig.now)
        elif step == "remove" and store.has(name):
            store.remove(name)
        elif step == "wait":
            rig.now += timedelta(minutes=int(argument))
        elif step == "restart":
            rig.restart()
        elif step == "list all":
            for refs in rig.discovery.full():
                check(refs)
                rig.merge(refs[::2])
        elif step == "poll":
            refs = rig.discovery.poll()
            check(refs)
            rig.merge({"merge all": refs, "merge half": refs[::2], "merge none": []}[name])

    data = {ref for ref in store.refs if is_data(ref.key, store.prefix, size=ref.size)}
    for _ in range(len(store.refs) + 3):  # a cold sweep, once round from wherever it is
        refs = rig.discovery.poll()
        check(refs)
        rig.merge(refs)
    assert data <= rig.merged
    before = rig.discovery.requests
    assert rig.discovery.poll() == []
    most = (tail_keys - 1) // page + 1  # of the tail; then a front and two sweeps
    assert rig.discovery.requests - before <= max(2, most) + 3


# --- keys -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "prefix", "folder"),
    [
        ("feed/processing-failed/2026/328/19/x", "feed/", "feed/processing-failed/"),
        (
            "feed/errors/2026/format-conversion-failed/x",
            "feed/",
            "feed/errors/2026/format-conversion-failed/",
        ),
        ("cdcprocessing-failed/2026/x", "cdc", "cdcprocessing-failed/"),  # Firehose adds no slash
        ("processing-failed/2026/x", "", "processing-failed/"),
        ("feed/my-processing-failed/x", "feed/", None),
        ("feed/processing-failed-of-mine/x", "feed/", None),
        ("feed/Processing-Failed/x", "feed/", None),
        ("feed/2026/processing-failed", "feed/", None),  # an object, not a folder
        ("processing-failed/feed/x", "processing-failed/", None),  # asked for by name
    ],
)
def test_an_error_folder_is_known_by_a_whole_segment_below_the_prefix(
    key: str, prefix: str, folder: str | None
) -> None:
    assert error_folder(key, prefix) == folder
    assert is_data(key, prefix) == (folder is None)


def test_only_an_empty_object_is_a_folder_marker() -> None:
    assert not is_data("feed/2026/", "feed/")
    assert is_data("feed/2026/", "feed/", size=7)
    assert is_data("feed/empty", "feed/", size=0)


_TEXT = st.text(alphabet="\0\x01a\ud7ff\ue000\uffff😀", min_size=1, max_size=4)


@given(key=_TEXT, other=_TEXT)
@example(key="ab", other="aa😀")
@example(key="a\ue000", other="a\ud7ff😀")
@example(key="\0", other="a")
def test_the_position_just_before_a_key_has_no_other_key_before_it(key: str, other: str) -> None:
    position = just_before(key)
    assert position < key
    assert position.encode() < key.encode()
    assert not position < other < key


@given(
    stretches=st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 9))), max_size=8),
    position=st.integers(0, 9),
)
def test_stretches_of_a_listing_add_up(stretches: list[tuple[int, int | None]], position: int) -> None:
    ranges, read = Ranges(), set[int]()
    for start, length in stretches:
        end = None if length is None else start + length
        ranges.add(f"{start:02}", None if end is None else f"{end:02}")
        read |= set(range(start + 1, 40 if end is None else end + 1))
    expected = position
    while expected + 1 in read:
        expected += 1
    left = ranges.leave(f"{position:02}")
    assert (40 if left is None else int(left) + (expected >= 39)) == expected + (expected >= 39)

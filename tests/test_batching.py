"""How objects that wait are cut into batches, and found no earlier than needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cdc_merge.batching import Waiting
from cdc_merge.model import BatchLimits, ObjectRef


def refs(*sizes: int, first: int = 0) -> list[ObjectRef]:
    return [ObjectRef(str(first + i), "v", size, datetime(2026, 1, 1, tzinfo=UTC)) for i, size in enumerate(sizes)]


def sizes(waiting: Waiting, *, inflation: float = 1.0) -> list[list[int]]:
    batches = []
    while batch := waiting.take(inflation=inflation):
        batches.append([ref.size for ref in batch])
        waiting.fill()
    return batches


def test_a_batch_has_at_most_so_many_objects_and_bytes_but_one_at_least() -> None:
    limits = BatchLimits(bytes=10, objects=3)
    assert sizes(Waiting([refs(1, 1, 1, 1, 9, 2, 50, 1)], limits)) == [[1, 1, 1], [1, 9], [2], [50], [1]]


def test_what_objects_inflate_to_counts() -> None:
    assert sizes(Waiting([refs(4, 4, 4)], BatchLimits(bytes=10)), inflation=2.0) == [[4], [4], [4]]


def test_pages_are_listed_only_as_they_are_needed() -> None:
    listed: list[int] = []

    def pages() -> Iterator[Sequence[ObjectRef]]:
        for number in range(4):
            listed.append(number)
            yield refs(1, 1, first=2 * number)

    waiting = Waiting(pages(), BatchLimits(objects=2))
    assert (listed, len(waiting)) == ([0, 1], 4)
    assert [ref.key for ref in waiting.take(inflation=1)] == ["0", "1"]
    assert listed == [0, 1]
    waiting.fill()
    assert (listed, len(waiting)) == ([0, 1, 2], 4)


def test_an_empty_page_is_not_the_last() -> None:
    assert sizes(Waiting([[], refs(1), [], refs(2)], BatchLimits())) == [[1, 2]]
    assert sizes(Waiting([], BatchLimits())) == []


def test_objects_that_were_too_much_for_one_batch_come_again_in_halves_before_the_others() -> None:
    waiting = Waiting([refs(1, 2, 3, 4, 5)], BatchLimits(objects=4))
    waiting.give_back(waiting.take(inflation=1.0))
    assert sizes(waiting) == [[1, 2], [3, 4], [5]]


def test_what_is_halved_is_the_batch_that_was_too_much_not_the_most_it_may_have() -> None:
    waiting = Waiting([refs(5, 5, 5, 5)], BatchLimits(bytes=10, objects=100))
    waiting.give_back(waiting.take(inflation=1.0))
    assert sizes(waiting) == [[5], [5], [5], [5]]


def test_an_object_that_is_too_much_by_itself_still_comes_again() -> None:
    waiting = Waiting([refs(1, 2)], BatchLimits(objects=1))
    waiting.give_back(waiting.take(inflation=1.0))
    assert sizes(waiting) == [[1], [2]]

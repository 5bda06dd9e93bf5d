"""What is the same for every record of a source, and how it is learned from the first records there are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cdc_merge.errors import MixedFeed, SourceStopped
from cdc_merge.feed import shape
from cdc_merge.feed.workbench import Bench
from cdc_merge.model import Ordering, Source
from cdc_merge.render import render
from cdc_merge.warehouses.dialect import DUCKDB

# Lines from all over a portion, which are enough where they are all alike. The other threads wait for what they tell.
_SAMPLE = 200

# What every record of a stream has and none of Kinesis does; one of them may be damaged.
_ONLY_IN_STREAMS = (shape.SEQUENCE_NUMBER, shape.VIEW_TYPE, shape.SOURCE_ARN, "/eventVersion")


@dataclass(frozen=True)
class FeedFacts:
    """What is the same for every record of a source.

    `ordering` and `key_tags` are remembered by the warehouse; `is_kinesis` (records of Kinesis Data Streams
    for DynamoDB, with binary values in base64 twice) is seen anew in each batch. `table_arn` is what the records of
    a stream say, where their ordering had to be learned from them.
    """

    ordering: Ordering | None = None
    key_tags: tuple[str, ...] | None = None
    is_kinesis: bool | None = None
    table_arn: str | None = None

    @property
    def base64_layers(self) -> int:
        return 2 if self.is_kinesis else 1

    @property
    def are_known(self) -> bool:
        """Whether there is nothing left to learn."""
        return bool(self.key_tags and self.ordering and self.is_kinesis is not None)


@dataclass(frozen=True)
class _Shape:
    """What records can have in common: the attributes of their key, the type tags there, and where they come from."""

    attributes: tuple[str, ...]
    tags: tuple[str, ...]
    is_kinesis: bool
    arn: str | None


def learn(bench: Bench, source: Source, facts: FeedFacts) -> FeedFacts:
    """All that the bench's `lines` tell. What they leave open stays so: no record with a usable key is among them.

    Raises MixedFeed and SourceStopped.
    """
    key = set(source.key)
    lines = bench.rows("SELECT count(*) FROM lines")[0][0]
    shapes = _shapes(bench, source, every=max(1, lines // _SAMPLE))
    if len(shapes) != 1 or not _is_usable(shapes[0], key):
        shapes = _shapes(bench, source, every=1)
    usable = [s for s in shapes if _is_usable(s, key)]
    if not usable and facts.key_tags:
        usable = shapes  # strangers only: the key is known, so they can be judged one by one
    if not usable:
        if shapes and not any(set(s.attributes) == key for s in shapes):
            raise SourceStopped(
                f"the records have the key attributes {list(shapes[0].attributes)}, "
                f"the configuration says {list(source.key)}",
                where=f"source {source.name}",
                hint="set the source's `key` to the table's partition key and, if there is one, sort key",
            )
        return facts
    seen = usable[0]
    ordering = source.ordering or facts.ordering or (Ordering.TIME if seen.is_kinesis else Ordering.SEQUENCE)
    is_other_stream = facts.ordering is Ordering.TIME and source.ordering is None and not seen.is_kinesis
    if is_other_stream or (ordering is Ordering.SEQUENCE and seen.is_kinesis):
        raise mixed_feed(source, facts)
    return replace(
        facts,
        ordering=ordering,
        key_tags=facts.key_tags or seen.tags,
        is_kinesis=seen.is_kinesis,
        table_arn=seen.arn.partition("/stream/")[0] if seen.arn else None,
    )


def mixed_feed(source: Source, facts: FeedFacts, place: str = "") -> MixedFeed:
    """Records of the two feeds lie side by side; `place`: which one was the first of the other, if that is known."""
    mine, other = "DynamoDB Streams", "Kinesis Data Streams for DynamoDB"
    if facts.ordering is Ordering.TIME:
        mine, other = other, mine
    return MixedFeed(
        f"records of {other} lie among those of {mine}; their positions cannot be compared",
        where=f"source {source.name}{place and f', {place}'}",
        hint="give each feed a prefix and a source of its own; to change over to the other feed, "
        "start a new source with new tables",
    )


def _is_usable(seen: _Shape, key: set[str]) -> bool:
    return set(seen.attributes) == key and all(tag in shape.KEY_TAGS for tag in seen.tags)


def _shapes(bench: Bench, source: Source, *, every: int) -> list[_Shape]:
    """What the records are like, the most frequent first; of `every` so many lines one is looked at."""
    rows = bench.rows(
        render(
            "feed/sql/shapes.sql",
            DUCKDB,
            every=every,
            keys=shape.KEYS,
            key=[f"{shape.KEYS}/{shape.escape(attribute)}" for attribute in source.key],
            only_in_streams=list(_ONLY_IN_STREAMS),
            places=[shape.SEQUENCE_NUMBER, shape.CREATED_AT],
            arn=shape.SOURCE_ARN,
        )
    )
    return [_Shape(tuple(attributes), tuple(tags), is_kinesis, arn) for attributes, tags, is_kinesis, arn in rows]


__all__ = ["FeedFacts", "learn", "mixed_feed"]

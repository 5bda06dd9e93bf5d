"""Which changes of a key a target needs besides the newest, where not every delete counts for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc_merge.feed import shape
from cdc_merge.feed.where import takes
from cdc_merge.model import Deletes, Expired, Target
from cdc_merge.render import Sql

# What the second pass numbers from here on are older changes of keys, each read for one target.
PICKED_FROM = 2**40


@dataclass(frozen=True)
class Pick:
    """A target whose row is made of the newest change that `counts` for it: a condition on the table `changes`."""

    number: int
    counts: Sql
    first: int  # what is added to a key's number


@dataclass(frozen=True)
class Fact:
    """A column of `changes` that the first pass adds to the keys and the position."""

    name: Sql
    type: Sql
    value: Sql


@dataclass(frozen=True)
class Picks:
    """The targets of a source that need them, by their numbers; false where there are none."""

    targets: tuple[tuple[int, Target], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.targets)

    @staticmethod
    def of(targets: Sequence[Target]) -> Picks:
        """Those of a source's targets."""
        return Picks(tuple((i, t) for i, t in enumerate(targets) if not t.follows_every_delete))

    def each(self) -> list[Pick]:
        """One per target."""
        picks = []
        for place, (number, target) in enumerate(self.targets, start=1):
            match target.deletes, target.expired:
                case Deletes.SOFT, _:
                    counts = f"takes_{number}"
                case Deletes.IGNORE, _:
                    counts = "upsert"
                case Deletes.HARD, Expired.KEEP:
                    counts = "kept"
            picks.append(Pick(number, Sql(counts), place * PICKED_FROM))
        return picks

    def facts(self, pointers: shape.Pointers) -> list[Fact]:
        """What the first pass must know of each change; nothing where there are no such targets."""
        if not self:
            return []
        event = pointers.value(shape.EVENT_NAME)
        created_at = f"epoch_micros({pointers.value(shape.CREATED_AT)}, {pointers.value(shape.PRECISION)})"
        # The same test as in the second pass: what is picked here will not turn out to be unusable.
        is_upsert = f"{event} IN ('INSERT', 'MODIFY') AND len(json_keys(line, '{shape.NEW_IMAGE}')) > 0"
        is_kept = f"({is_upsert}) OR ({event} = 'REMOVE' AND NOT {shape.is_expiry(pointers.value)})"
        truth = Sql("BOOLEAN")
        return [
            Fact(Sql("changed_at"), Sql("TIMESTAMP WITH TIME ZONE"), Sql(f"TRY(make_timestamptz({created_at}))")),
            Fact(Sql("upsert"), truth, Sql(f"coalesce({is_upsert}, FALSE)")),
            Fact(Sql("kept"), truth, Sql(f"coalesce({is_kept}, FALSE)")),
            *(
                Fact(
                    Sql(f"takes_{number}"),
                    truth,
                    Sql(f"coalesce({is_upsert} AND {takes(target, pointers.value)}, FALSE)"),
                )
                for number, target in self.targets
                if target.deletes is Deletes.SOFT
            ),
        ]

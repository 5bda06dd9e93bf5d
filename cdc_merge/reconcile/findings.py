"""What one reconcile sets out with and finds: the nouns of its statements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cdc_merge.reconcile.report import Method, Sample, Verdicts
from cdc_merge.warehouses import Row, Statement


@dataclass(frozen=True)
class Tally:
    """The counts of one target before anything is done: `rows` in the table, the rest as in Verdicts."""

    rows: int
    equal: int
    missing: int
    extra: int
    different: int
    newer: int


@dataclass(frozen=True)
class Undertaking:
    """The facts of one reconcile that its statements write down."""

    id: str
    source: str
    export: str
    method: Method
    as_of: datetime
    floor: datetime
    items: int
    unusable: int
    worker: str
    started_at: datetime


@dataclass(frozen=True)
class Limits:
    """What may stop a reconcile in mid-transaction, by raising.

    `floors`: is told the targets' floors under the lock. `deletes`: is told each target's tally, and returns the
    limits that were lifted for it. `unseen`: the same for a table of so many rows that all go uncompared; `kept`: for
    so many rows of items that are gone, which stay without the values of some columns.
    """

    floors: Callable[[dict[str, datetime | None]], None]
    deletes: Callable[[str, Tally], Sequence[str]]
    unseen: Callable[[str, int], Sequence[str]]
    kept: Callable[[str, int, Sequence[str]], Sequence[str]]


@dataclass
class Findings:
    """What the statements found as they ran; begun anew with every try.

    `items`, `unusable`: how many items there were, and whose keys the warehouse cannot hold, by reason.
    """

    items: int = 0
    unusable: Mapping[str, int] = field(default_factory=dict)
    floors: dict[str, datetime | None] = field(default_factory=dict)  # as they were before
    targets: dict[str, Verdicts] = field(default_factory=dict)
    overridden: list[str] = field(default_factory=list)
    collected: int = 0
    notes: list[str] = field(default_factory=list)
    bound: list[Statement] = field(default_factory=list)  # reads of views on tables that were swapped
    replay_from: datetime | None = None  # objects written since must be merged once more


class CopiesFound(Exception):
    """A table has rows of one key twice: they must go before it can be compared."""


class DryRunOver(Exception):
    """Everything is found; the transaction ends here, with nothing written."""


def verdicts_of(tally: Tally, *, causes: Sequence[Row], differing: Sequence[Row], samples: Sequence[Row]) -> Verdicts:
    """The verdicts of one target.

    `causes`: verdict, cause, rows; `differing`: names of columns, rows; `samples`: verdict, cause, columns, key.
    """
    by_verdict: dict[str, dict[str, int]] = {}
    for verdict, cause, count in causes:
        if verdict not in ("newer", "kept"):
            by_verdict.setdefault(verdict, {})[cause] = int(count)
    columns: Counter[str] = Counter()
    for names, count in differing:
        columns.update(dict.fromkeys(_split(names), int(count)))
    return Verdicts(
        equal=tally.equal,
        missing=tally.missing,
        extra=tally.extra,
        different=tally.different,
        newer=tally.newer,
        repaired=tally.missing + tally.extra + tally.different,
        causes=by_verdict,
        columns=dict(columns),
        samples=tuple(
            Sample(tuple(map(str, key)), verdict, cause, _split(names)) for verdict, cause, names, *key in samples
        ),
    )


def _split(names: str | None) -> tuple[str, ...]:
    return tuple((names or "").split("\n")) if names else ()

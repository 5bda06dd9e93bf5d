"""What a reconcile found and did, target by target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Method(StrEnum):
    """What the targets were compared with, and whether they were built anew from it."""

    EXPORT = "export"
    INCREMENTAL = "incremental export"
    SCAN = "scan"
    COPY = "copy from dynamodb"
    REBUILD = "rebuild"


@dataclass(frozen=True)
class Sample:
    """One key that had drifted: its verdict, the likely cause, and the columns that differed."""

    key: tuple[str, ...]
    verdict: str
    cause: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdicts:
    """One target: how many rows were equal, missing, extra, different, or changed since (`newer`, left alone).

    `repaired`: rows inserted, deleted or replaced; on a dry run, those that would be. `causes`: by verdict, how
    often each cause; `columns`: how often each column differed; `samples`: the first keys of each verdict.
    """

    equal: int
    missing: int
    extra: int
    different: int
    newer: int
    repaired: int
    causes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    columns: Mapping[str, int] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()

    @property
    def drifted(self) -> int:
        """Rows that were not what the export says."""
        return self.missing + self.extra + self.different

    @property
    def is_first_load(self) -> bool:
        """Whether the target was empty, and nothing was known of any of the items it gets."""
        others = self.equal + self.extra + self.different + self.newer
        return self.missing > 0 and others == 0 and self.causes.get("missing") == {"never_arrived": self.missing}

    @property
    def unsampled(self) -> dict[str, int]:
        """How many more rows of each verdict there are than samples of it."""
        counts = {"missing": self.missing, "extra": self.extra, "different": self.different}
        left = {verdict: rows - sum(s.verdict == verdict for s in self.samples) for verdict, rows in counts.items()}
        return {verdict: rows for verdict, rows in left.items() if rows > 0}

    def details(self) -> dict[str, object]:
        """What is kept as JSON beside the counts."""
        return {
            "causes": {v: dict(c) for v, c in self.causes.items()},
            "columns": dict(self.columns),
            "samples": [
                {"key": list(s.key), "verdict": s.verdict, "cause": s.cause, "columns": list(s.columns)}
                for s in self.samples
            ],
        }

    def as_dict(self) -> dict[str, object]:
        counts: dict[str, object] = {
            name: getattr(self, name) for name in ("equal", "missing", "extra", "different", "newer", "repaired")
        }
        return counts | self.details()


@dataclass(frozen=True)
class Report:
    """One reconcile of a source, as of the export's time. `floor`: the time up to which the targets are verified now.

    `unusable`: items whose key the warehouse cannot hold, by reason. `overridden`: safety limits that `force` lifted.
    """

    source: str
    export: str
    method: Method
    as_of: datetime
    floor: datetime
    items: int
    targets: Mapping[str, Verdicts]
    is_dry_run: bool
    tombstones_collected: int = 0
    unusable: Mapping[str, int] = field(default_factory=dict)
    overridden: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def drifted(self) -> int:
        """Rows of all targets that were not what the export says."""
        return sum(v.drifted for v in self.targets.values())

    def as_dict(self) -> dict[str, object]:
        return {
            "source": self.source,
            "export": self.export,
            "method": self.method.value,
            "as_of": self.as_of,
            "verified_through": self.floor,
            "dry_run": self.is_dry_run,
            "items": self.items,
            "unusable": dict(self.unusable),
            "tombstones_collected": self.tombstones_collected,
            "overridden": list(self.overridden),
            "notes": list(self.notes),
            "targets": {table: verdicts.as_dict() for table, verdicts in self.targets.items()},
        }

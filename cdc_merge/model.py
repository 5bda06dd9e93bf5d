"""The nouns of the project: sources, targets, columns, objects, batches. Frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from cdc_merge.errors import UsageError

DEFAULT_MEMORY = 1000**3
"""Bytes that a process is meant to take, unless a source says otherwise."""

Path = tuple[str | int, ...]
"""A way into an item: attribute name, then map keys (str) and list indexes (int)."""


class Kind(StrEnum):
    """The types a column can be given; what each becomes on an engine is a fact of its dialect."""

    TEXT = "text"
    INTEGER = "integer"
    NUMERIC = "numeric"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DATE = "date"
    JSON = "json"
    BINARY = "binary"


class TimeUnit(StrEnum):
    """The unit of an epoch number."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"


class Ordering(StrEnum):
    """What orders the changes of one key; a source has one kind."""

    SEQUENCE = "sequence"
    TIME = "time"


@dataclass(frozen=True)
class ColumnType:
    """A column's type: `precision` and `scale` for numeric only (both or none), `unit` for timestamps."""

    kind: Kind
    precision: int | None = None
    scale: int | None = None
    unit: TimeUnit | None = None


class Mask(StrEnum):
    """What becomes of a value before it is staged anywhere: its SHA-256, the word `redacted`, or nothing (NULL)."""

    HASH = "hash"
    REDACT = "redact"
    DROP = "drop"


@dataclass(frozen=True)
class Template:
    """A text with holes, such as `ORDER#{}` or `ORDER#{order_id}#ITEM#{item_id}`, and the hole that is wanted.

    `literals`: the texts around the holes, one more than there are holes. A hole takes one character or more, and as
    little as lets the rest fit; the last one takes all that is left.
    """

    literals: tuple[str, ...]
    hole: int


@dataclass(frozen=True)
class Column:
    """A column the user asked for. `type` None: the attribute's own type decides.

    `template`: the piece of a text that is wanted. `of_parent`: in a target with `each`, an attribute of the item
    around the element (`^Attr`).
    """

    name: str
    path: Path
    type: ColumnType | None = None
    template: Template | None = None
    mask: Mask | None = None
    of_parent: bool = False


Scalar = str | int | float | bool


@dataclass(frozen=True)
class Condition:
    """One line of a target's `where`. Exactly one of the three is set.

    `any_of`: the value equals one of these (text compares with S, numbers with N, booleans with BOOL).
    `prefix`: the value is an S that begins so. `exists`: the attribute is there (True) or is not (False).
    """

    path: Path
    any_of: tuple[Scalar, ...] | None = None
    prefix: str | None = None
    exists: bool | None = None


class Evolve(StrEnum):
    """What a new attribute does: becomes a column, goes to _cdc_rescued, or stops the source."""

    ADD = "add"
    FREEZE = "freeze"
    FAIL = "fail"


class Deletes(StrEnum):
    """What a REMOVE does to a target's row: takes it away, marks it in `_cdc_deleted_at`, or nothing."""

    HARD = "hard"
    SOFT = "soft"
    IGNORE = "ignore"


class Expired(StrEnum):
    """What a REMOVE by time to live does: as `deletes` says, or nothing."""

    DELETE = "delete"
    KEEP = "keep"


@dataclass(frozen=True)
class Target:
    """One table. `columns` None: every attribute becomes a column; `is_document`: one JSON column of the whole item.

    `each`: the list, map or set whose elements become rows. `has_history`: every change is kept beside the table.
    """

    table: str
    where: tuple[Condition, ...] = ()
    columns: tuple[Column, ...] | None = None
    evolve: Evolve = Evolve.ADD
    deletes: Deletes = Deletes.HARD
    expired: Expired = Expired.DELETE
    each: Path | None = None
    is_document: bool = False
    has_history: bool = False

    @property
    def follows_every_delete(self) -> bool:
        """Whether the newest change of a key is all that counts: every REMOVE takes the row away."""
        return self.deletes is Deletes.HARD and self.expired is Expired.DELETE

    def spares(self, *, is_expiry: bool) -> bool:
        """Whether a REMOVE leaves the row as it is; `is_expiry`: one by time to live."""
        return self.deletes is Deletes.IGNORE or (is_expiry and self.expired is Expired.KEEP)


class Load(StrEnum):
    """Who decodes a feed's objects: the worker, or the warehouse as far as SQL can do it exactly."""

    WORKER = "worker"
    WAREHOUSE = "warehouse"


@dataclass(frozen=True)
class BatchLimits:
    """The most one merge takes: uncompressed bytes, and objects."""

    bytes: int = 512 * 1000**2
    objects: int = 1000


@dataclass(frozen=True)
class ReconcilePolicy:
    """How a source is reconciled with exports.

    `every`: seconds between reconciles that `run` does by itself; None: never. `request`: whether `run` asks
    DynamoDB for an export when none is newer than the last reconcile. `max_delete`: the share of a target's rows
    (0 to 1) that a reconcile may take away unforced. `margin`: seconds before an export's time from which on changes
    are left to the feed. `probe`: items an hour that `run` compares with the table; None: none.
    """

    every: float | None = None
    request: bool = False
    max_delete: float = 0.05
    margin: float = 120.0
    probe: float | None = None


@dataclass(frozen=True)
class Source:
    """One DynamoDB table and its feed. `changes` is `s3://bucket/prefix` or `file:///absolute/dir`.

    `exports`: the same, for the root above `AWSDynamoDB/`. `table`: the DynamoDB table's name or ARN; both may be
    unknown.
    """

    name: str
    changes: str
    key: tuple[str, ...]
    targets: tuple[Target, ...]
    poll: float = 5.0  # seconds
    batch: BatchLimits = field(default_factory=BatchLimits)
    memory: int = DEFAULT_MEMORY  # bytes
    load: Load = Load.WORKER
    ordering: Ordering | None = None
    exports: str | None = None
    table: str | None = None
    reconcile: ReconcilePolicy = field(default_factory=ReconcilePolicy)


@dataclass(frozen=True)
class Settings:
    """A whole configuration, checked. `warehouse` is a URL with an absolute path where it names a file."""

    warehouse: str
    schema: str | None
    metadata_schema: str
    sources: tuple[Source, ...]

    @property
    def memory(self) -> int:
        """Bytes that a process is meant to take: sources are merged one after another."""
        return max(source.memory for source in self.sources)

    def source_named(self, name: str) -> Source:
        """Raises UsageError if the configuration has no such source."""
        for source in self.sources:
            if source.name == name:
                return source
        names = ", ".join(sorted(s.name for s in self.sources))
        raise UsageError(f"no source is named {name!r}", hint=f"the configuration has: {names}")


@dataclass(frozen=True, order=True)
class ObjectRef:
    """One version of one object, as listed. `version` is the ETag (S3) or size-mtime (directories)."""

    key: str  # the whole key below the bucket, or the path relative to the directory
    version: str
    size: int = field(compare=False)  # bytes as stored
    modified: datetime = field(compare=False)  # UTC


Outcome = Literal["applied", "superseded", "stale", "ignored", "quarantined"]

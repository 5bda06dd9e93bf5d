"""The error tree: each class is named for the reaction it asks of the one place that catches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CdcMergeError(Exception):
    """Anything this project raises on purpose: what happened, where, and what to do next.

    `where` names the object, line, target or setting; `hint` is the next thing to type or change.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


def how_to_install(extra: str) -> str:
    """The hint for a library that comes with an extra of the package."""
    return f"pip install 'cdc-merge[{extra}]', or in a clone of the repository: pip install '.[{extra}]'"


# --- reaction: stop before doing anything; the user mends the command or the file -----------------------


@dataclass(frozen=True)
class Problem:
    """One mistake in the configuration: its place (`cdc-merge.yaml:12:5`), what is wrong, what to write."""

    place: str
    message: str
    hint: str | None = None


class UsageError(CdcMergeError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration file has mistakes; `problems` holds all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [f"{p.place}: {p.message}" + (f"\n  hint: {p.hint}" if p.hint else "") for p in self.problems]
        super().__init__("\n".join(lines))


class Refused(CdcMergeError):
    """A safety limit says no; nothing was touched."""

    exit_code = 3


# --- reaction: try again later ---------------------------------------------------------------------------


class Transient(CdcMergeError):
    """A fault outside that time may cure: roll back, wait, try again."""


class StoreUnavailable(Transient):
    """The object store did not answer, or answered that it is busy."""


class WarehouseUnavailable(Transient):
    """The warehouse went away, is locked by another process, or broke off the transaction."""


class NoRoom(Transient):
    """There is no room for temporary files."""


class ObjectChanged(Transient):
    """An object was rewritten or removed between listing and reading: list again."""


class LeaseLost(Transient):
    """Another worker holds the source now: stand by until it is free again."""


class SchemaMoved(Transient):
    """A target's columns changed while a batch was decoded, by a reconcile or a rebuild: decode it anew."""


class QuarantineMoved(Transient):
    """Entries that are tried again have left the quarantine: read it again."""


class AlreadyMerged(Transient):
    """Another transaction has put one of the batch's objects into the ledger: list again."""


# --- reaction: stop this source, go on with the others ---------------------------------------------------


class SourceStopped(CdcMergeError):
    """The source cannot go on until a person decides; nothing of the batch was merged."""


class MixedFeed(SourceStopped):
    """Records of another kind than the source's own lie under its prefix."""


class UnusableFeed(SourceStopped):
    """The stream's view type has no new images, so tables cannot be built from it."""


class SchemaConflict(SourceStopped):
    """The table in the warehouse is not what the configuration and the ledger say it should be."""


class UnknownAttributes(SchemaConflict):
    """Items have attributes without a column, and the target's `evolve` is `fail`."""

    def __init__(self, table: str, attributes: Sequence[str], place: str | None = None) -> None:
        self.table = table
        self.attributes = tuple(attributes)
        few = ", ".join(self.attributes[:5]) + (" …" if len(self.attributes) > 5 else "")
        super().__init__(
            f"items have attributes without a column: {few}" + (f" ({place}, for one)" if place else ""),
            where=f"target {table}",
            hint="add them to `columns`, or set `evolve: add` or `evolve: freeze`: for a while only, where the changes "
            "are old ones that are merged again",
        )

    def found_in(self, place: str) -> UnknownAttributes:
        """The same, with where one of them is. A place has no key in it: the log, /health and terminals show it."""
        return UnknownAttributes(self.table, self.attributes, place)


class StoreDenied(SourceStopped):
    """The object store refuses us: credentials, permission, or no such bucket or folder."""


class WarehouseRefused(SourceStopped):
    """The warehouse rejects a statement for a reason that trying again does not cure."""


class DecodingFailed(SourceStopped):
    """Decoding met with something nobody foresaw, or has too little memory; the log has the traceback."""


class BatchTooLarge(SourceStopped):
    """A batch does not fit the memory or the disk; a smaller one may, and one of a single object is for a person."""


class MissingMetadata(SourceStopped):
    """The metadata tables are not there, or not of this version."""


# --- reaction: quarantine the object, go on with the batch -----------------------------------------------


class UnreadableObject(CdcMergeError):
    """The object as a whole cannot be read (corrupt gzip, Parquet, a bomb); `reason` is a short code."""

    def __init__(self, message: str, *, reason: str, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, where=where, hint=hint)
        self.reason = reason

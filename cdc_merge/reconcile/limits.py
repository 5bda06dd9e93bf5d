"""The safety limits: what a reconcile refuses before it touches a row, and which of it `force` may lift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cdc_merge.errors import Refused
from cdc_merge.exports.manifest import is_table
from cdc_merge.model import Source
from cdc_merge.reconcile.findings import Tally
from cdc_merge.reconcile.snapshot import Items
from cdc_merge.reconcile.way import REPAIR, Way
from cdc_merge.words import count

_NEWER = "take a newer export: cdc-merge reconcile --request, or --export with a newer one"


@dataclass
class SafetyLimits:
    """Judges one reconcile. `overridden` collects what was lifted by `force`, in words.

    `notes`: what a dry run shows all the same, though it would be refused if it were not one.
    """

    source: Source
    items: Items
    way: Way = REPAIR
    overridden: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_of_another_table: bool = False

    @property
    def floor(self) -> datetime:
        """The time up to which the targets will be verified."""
        return self.items.as_of - timedelta(seconds=self.source.reconcile.margin)

    def _where(self, target: str | None = None) -> str:
        return f"target {target}, {self.items.label}" if target else self.items.label

    def _refuse_unless_forced(self, message: str, *, hint: str, target: str | None = None) -> str:
        """Returns what was lifted. Raises Refused."""
        if not self.way.force:
            raise Refused(message, where=self._where(target), hint=f"{hint}; to reconcile all the same: --force")
        return f"{self._where(target)}: {message}" if target else message

    def judge_items(self, *, now: datetime, known_arn: str | None) -> None:
        """Everything that can be told before a file is read."""
        items = self.items
        if items.as_of > now + timedelta(seconds=self.source.reconcile.margin):
            raise Refused(
                f"its time is in the future: {items.as_of.isoformat()}",
                where=self._where(),
                hint="changes up to then would count as stale; set this machine's clock, or take another export",
            )
        self._judge_table(known_arn)
        if items.items is not None:
            self.judge_count(items.items)

    def _judge_table(self, known_arn: str | None) -> None:
        theirs = self.items.table_arn
        for mine, says in ((self.source.table, "the configuration"), (known_arn, "what was merged before")):
            if mine and theirs and not is_table(theirs, mine):
                lifted = self._refuse_unless_forced(
                    f"it is of the table {theirs}, by {says} the source is {mine}",
                    hint="name an export of the source's own table",
                )
                self.overridden.append(lifted)
                self.is_of_another_table = True
                return

    def judge_count(self, count: int) -> None:
        """An empty full export would take every row away; an empty incremental one says that nothing changed."""
        if count == 0 and self.items.since is None:
            lifted = self._refuse_unless_forced("it has no items at all", hint="is the table really empty?")
            if lifted not in self.overridden:
                self.overridden.append(lifted)

    def judge_key(self, *, is_known: bool, count: int) -> None:
        """Never lifted: tables would be made with keys of types that nobody has told, and no record would fit them."""
        if count == 0 and not is_known:
            raise Refused(
                "it has no items, and no record has told yet of which types the key is",
                where=self._where(),
                hint="nothing needs to be reconciled: the first records make the tables (cdc-merge run)",
            )

    def judge_floors(self, floors: Mapping[str, datetime | None]) -> None:
        """Never lifted: below a floor the tombstones are gone, so deleted rows would come back."""
        for target in self.source.targets:
            floor = floors.get(target.table)
            if floor and self.floor < floor:
                raise Refused(
                    f"it vouches for the table up to {self.floor.isoformat()}, which is older than what is verified "
                    f"already, {floor.isoformat()}",
                    where=self._where(target.table),
                    hint=_NEWER,
                )
            since = self.items.since
            if since is not None:
                self._judge_gap(target.table, floor, since)

    def _judge_gap(self, table: str, floor: datetime | None, since: datetime) -> None:
        """It must have every change after the floor, so it begins the margin earlier: its start is fuzzy, too."""
        if floor is None:
            raise Refused(
                f"it has the changes since {since.isoformat()}, but the target is verified through nothing",
                where=self._where(table),
                hint="reconcile with a full export first",
            )
        latest = floor - timedelta(seconds=self.source.reconcile.margin)
        if since > latest:
            raise Refused(
                f"it has the changes since {since.isoformat()}, but the target is verified through "
                f"{floor.isoformat()} only",
                where=self._where(table),
                hint=f"take one whose ExportFromTime is {latest.isoformat()} or before, or a full one",
            )

    def judge_deletes(self, table: str, tally: Tally) -> Sequence[str]:
        """Whether the rows that would go are too many; returns what was lifted."""
        allowed = self.source.reconcile.max_delete
        if not tally.extra or tally.extra <= allowed * tally.rows:
            return []
        share = 100 * tally.extra / tally.rows
        message = (
            f"{tally.extra:,} of {tally.rows:,} rows ({share:.1f} %) would be deleted, more than max_delete "
            f"({100 * allowed:g} %)"
        )
        hint = "look at them: cdc-merge reconcile --dry-run; if that is right, raise reconcile.max_delete"
        return self._lifted(table, message, hint=hint)

    def judge_unseen(self, table: str, rows: int) -> Sequence[str]:
        """Whether a table may go that cannot be compared, not even by its keys; returns what was lifted."""
        if not rows:
            return []
        message = f"its {rows:,} rows would go, and none of them can be compared with the export by its key"
        return self._lifted(
            table, message, hint="see cdc-merge plan for what was altered, and put the key columns right"
        )

    def judge_kept(self, table: str, rows: int, columns: Sequence[str]) -> Sequence[str]:
        """Whether rows of items that are gone may lose values that nothing brings back; returns what was lifted."""
        if not rows or not columns:
            return []
        message = f"{count(rows, 'row')} of items that are gone would lose the values of {', '.join(columns)}"
        return self._lifted(
            table,
            message,
            hint="keep these columns and give what is new names of its own; one that only such items have stays if "
            "`columns` names it",
        )

    def _lifted(self, table: str, message: str, *, hint: str) -> Sequence[str]:
        if self.way.dry_run and not self.way.force:  # it is how to see which rows these are
            note = f"target {table}: {message}: without --force it will be refused"
            self.notes += [note] if note not in self.notes else []
            return []
        return [self._refuse_unless_forced(message, target=table, hint=hint)]

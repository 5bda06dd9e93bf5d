"""Carries out the plan of a reconcile in one transaction of the warehouse, once, whatever breaks meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from cdc_merge.beside import beside_merges
from cdc_merge.errors import Refused, SchemaMoved, WarehouseRefused, WarehouseUnavailable
from cdc_merge.lease import Leases
from cdc_merge.ledger import Ledger
from cdc_merge.reconcile import swap
from cdc_merge.reconcile.findings import CopiesFound, DryRunOver, Findings, Limits, Undertaking
from cdc_merge.reconcile.limits import SafetyLimits
from cdc_merge.reconcile.plan import ReconcilePlan
from cdc_merge.reconcile.snapshot import Snapshot
from cdc_merge.staging import misfit_rows
from cdc_merge.warehouses import Row, Session, Statement, Warehouse

Turn = Callable[[], AbstractContextManager[Statement]]
"""Open while the transaction runs; gives the statement that opens it. What it raises ends the reconcile."""


class _Committed(Exception):
    """A try before this one did commit, though it never learned it."""


@dataclass(frozen=True)
class Prepared:
    """What there is to carry out: decoded items, for so many targets, and the plan.

    `setup`: what is needed to compare; `make`: what makes tables and columns that are not there. `filling`: what adds
    items to the staging tables that the warehouse has copied by itself; the snapshot counts them, too.
    """

    snapshot: Snapshot
    targets: int
    plan: ReconcilePlan
    setup: list[Statement]
    make: list[Statement]
    filling: tuple[Statement, ...] = ()


Prepare = Callable[[Session], Prepared]
"""What there is to carry out in a session: the same in each, or copied into it anew."""


class Transaction:
    """The one transaction of a reconcile; tried again until it is known to have happened once, or not at all."""

    def __init__(
        self,
        prepare: Prepare,
        undertaking: Undertaking,
        limits: SafetyLimits,
        *,
        warehouse: Warehouse,
        leases: Leases,
        ledger: Ledger,
        clock: Callable[[], datetime],
        check: Callable[[], None],
        dry_run: bool,
        turn: Turn | None,
    ) -> None:
        """`turn`: opens the transaction, for a caller that holds the lease.

        How many items there are is told to `undertaking` when they are prepared.
        """
        self._prepare = prepare
        self._undertaking = undertaking
        self._limits = limits
        self._warehouse = warehouse
        self._leases = leases
        self._ledger = ledger
        self._clock = clock
        self._check = check
        self._dry_run = dry_run
        self._turn = turn
        self._tried: list[Findings] = []  # by tries that lost the warehouse when all was said but COMMIT

    def run(self) -> Findings:
        """One try. Raises WarehouseUnavailable, for another one, SchemaMoved, and Refused."""
        try:
            return self._run(heal_copies=False)
        except CopiesFound:
            # If there are still some then, it is the export that has a key twice, which was looked for.
            return self._run(heal_copies=True)

    def _run(self, *, heal_copies: bool) -> Findings:
        with self._warehouse.session() as session:
            prepared = self._prepare(session)
            items, unusable = prepared.snapshot.items, prepared.snapshot.unusable
            undertaking = replace(self._undertaking, items=items, unusable=sum(unusable.values()))
            findings = Findings(items, unusable, overridden=list(self._limits.overridden))
            statements = prepared.plan.statements(
                undertaking,
                Limits(
                    self._limits.judge_floors,
                    self._limits.judge_deletes,
                    self._limits.judge_unseen,
                    self._limits.judge_kept,
                ),
                findings,
                clock=self._clock,
                setup=prepared.setup,
                make=prepared.make,
                heal_copies=heal_copies,
                dry_run=self._dry_run,
            )
            _stage(session, prepared, by_hash=self._warehouse.dialect.row_hash is not None)
            self._check()
            said = threading.Event()  # all but COMMIT
            try:
                with self._opened(session) as first:
                    if self._tried:  # before any DDL, which may commit by itself, and make tables anew
                        session.run([*first, self._look_into_books()])
                    foreseen = self._foreseen(prepared, heal_copies=heal_copies)
                    session.run(_chain(first, statements, said.set), foreseen=foreseen)
            except DryRunOver:
                return findings
            except (Refused, SchemaMoved):
                self._discard(prepared, session)
                raise
            except _Committed:
                return self._tried[-1]
            except WarehouseRefused as error:
                refusal = swap.refusal_of(error)
                if refusal is None:
                    raise
                for view in findings.bound:  # else the catalog would tell of columns that never came
                    with suppress(WarehouseRefused):
                        session.query(view.sql)
                raise refusal from error
            except WarehouseUnavailable:
                # A connection that breaks at COMMIT leaves in doubt what happened. The books tell: the next try
                # looks into them under the lock, for the server may still be at work on the COMMIT. Once it has the
                # lock, none of this reconcile's transactions is open any more.
                if said.is_set():
                    self._tried.append(findings)
                raise
        return findings

    def _discard(self, prepared: Prepared, session: Session) -> None:
        if made := prepared.plan.discard():
            with suppress(WarehouseRefused, WarehouseUnavailable):  # it is empty, and in nobody's way
                session.run(made)

    def _foreseen(self, prepared: Prepared, *, heal_copies: bool) -> list[Statement]:
        made = prepared.plan.foreseen(self._undertaking, heal_copies=heal_copies)
        return [*prepared.setup, *(() if self._dry_run else prepared.make), *made]

    def _look_into_books(self) -> Statement:
        def look(rows: Sequence[Row]) -> None:
            if rows:
                raise _Committed

        return Statement("look into the books", self._ledger.reconciled(self._undertaking.id), inspect=look)

    @contextmanager
    def _opened(self, session: Session) -> Iterator[list[Statement]]:
        """What opens the transaction, so that no merge of the source runs beside it."""
        if self._dry_run:
            # A lock is written, too. Instead it sees but one moment, for a merge in between would look like drift.
            sql = self._warehouse.dialect.one_moment
            yield [Statement("see one moment", sql)] if sql else []
        elif self._turn:
            with self._turn() as fence:
                yield [fence]
        else:
            source = self._undertaking.source
            with beside_merges(self._warehouse, self._leases, source, session=session) as opening:
                yield [opening.first]


def _stage(session: Session, prepared: Prepared, *, by_hash: bool) -> None:
    """`by_hash`: rows are compared by it, with their keys beside them: such an engine reads the file where it lies."""
    shown = {"_cdc_rows": "rows"} | ({"_cdc_keyed": "keyed"} if by_hash else {})
    tables = {f"{staged}_{i}": f"{table}_{i}" for staged, table in shown.items() for i in range(prepared.targets)}
    session.stage(prepared.snapshot.path, {"_cdc_keys": "keys", **tables})
    if prepared.filling:
        session.run(prepared.filling)
    if misfits := prepared.snapshot.misfits:
        session.load("_cdc_misfits", misfit_rows(misfits).to_reader())


def _chain(first: Sequence[Statement], rest: Iterator[Statement], end: Callable[[], None]) -> Iterator[Statement]:
    yield from first
    yield from rest
    end()

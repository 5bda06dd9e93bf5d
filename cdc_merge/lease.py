"""Who may merge a source now: a row in the warehouse that one worker holds, and the fence that proves it.

A lease is only ever judged by the warehouse's own clock, so workers' clocks do not matter.
Expiry decides who may try; the fence decides who may commit. It updates the lease's row as the first statement of
every merge, so merges of one source never overlap, and one whose lease was taken over commits nothing.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cdc_merge.errors import LeaseLost
from cdc_merge.render import Name
from cdc_merge.warehouses import Dialect, Session, Statement

LEASE_SECONDS = 60.0

_held_here: set[str] = set()
"""Tokens this process has taken and not given back: a row with our name and another token is from a former life."""


def worker_name() -> str:
    """`host:pid`: who we are, in leases and in the books."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True)
class Lease:
    """A source that is ours until the warehouse says otherwise; `token` is new each time a lease is taken."""

    source: str
    holder: str
    token: str


def process_is_alive(holder: str) -> bool:
    """Whether the process of a holder (`host:pid`) on this host runs. A pid used anew counts as alive: it expires."""
    try:
        os.kill(int(holder.rpartition(":")[2]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # someone else's process, but there
    return True


class Leases:
    """Takes, renews and gives back leases; each method takes an open session."""

    def __init__(
        self,
        metadata: Mapping[str, Name],
        dialect: Dialect,
        *,
        ttl: float,
        holder: str,
        is_alive: Callable[[str], bool] = process_is_alive,
        new_token: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        """`ttl`: seconds. `holder`: `host:pid`; the host must name one machine or container and no other.

        `is_alive` is asked about holders on our host only.
        """
        self._dialect = dialect
        self._table = dialect.quote(*metadata["leases"].parts)
        self._now = dialect.now
        self._expiry = dialect.later.format(moment=dialect.now, amount=round(ttl * 1000), unit="milliseconds")
        # Where an update does not hold back others before it sees anything, a table of its own is locked: that of the
        # leases stays readable. https://docs.aws.amazon.com/redshift/latest/dg/r_LOCK.html
        self._turn = dialect.lock_table.format(dialect.quote(*metadata["turns"].parts)) if dialect.lock_table else None
        if not dialect.enforces_keys and not dialect.lock_table:
            # An update holds back others, but an insert does not: both come after the update of that table's one row.
            # https://docs.snowflake.com/en/sql-reference/transactions#resource-locking
            self._turn = f"UPDATE {dialect.quote(*metadata['turns'].parts)} SET source = ''"
        self._holder = holder
        self._is_alive = is_alive
        self._new_token = new_token

    def acquire(self, session: Session, source: str) -> Lease | None:
        """Take the source if it is free: nobody's, expired, or held by a process of this host that is gone.

        None: another holds it, or was faster. Where the lease looks free but a transaction of its holder is still
        open, this waits for its end; raises WarehouseUnavailable when the engine will not wait that long.
        """
        rows = session.query(
            f"SELECT holder, token, expires_at <= {self._now} FROM {self._table} WHERE {self._is_of(source)}"
        )
        lease = Lease(source, self._holder, self._new_token())
        if not rows:
            return self._taken(session, lease, self._insert(lease))
        holder, token, is_expired = rows[0]
        if self._is_gone(holder, token):
            return self._taken(session, lease, self._replace(lease, token))
        if is_expired:
            # Once more in the statement itself: the holder may renew before it gets the row.
            return self._taken(session, lease, f"{self._replace(lease, token)} AND expires_at <= {self._now}")
        return None

    def renew(self, session: Session, lease: Lease) -> Lease:
        """Hold the lease for another `ttl`. Raises LeaseLost if it was taken over."""
        session.run([self.fence(lease)])
        return lease

    def release(self, session: Session, lease: Lease) -> None:
        """Give the lease back; nothing happens if it was taken over."""
        self.forget(lease)
        # DuckDB notices that two transactions update a row, not that one updates and the other deletes it: with the
        # DELETE alone, a takeover at the same moment would lose its row.
        where = f"WHERE {self._is_of(lease.source, lease.token)}"
        session.run(
            [
                Statement("lock lease", f"UPDATE {self._table} SET renewed_at = {self._now} {where}", lock=self._turn),
                Statement("release lease", f"DELETE FROM {self._table} {where}"),
            ]
        )

    def forget(self, lease: Lease) -> None:
        """We do not hold it any more, even if the warehouse cannot be told: another worker of ours takes it over."""
        _held_here.discard(lease.token)

    def fence(self, lease: Lease) -> Statement:
        """The first statement of every merge: renews the lease and locks its row until the transaction ends.

        Its transaction is rolled back with LeaseLost if the lease was taken over.
        """
        sql = (
            f"UPDATE {self._table} SET renewed_at = {self._now}, expires_at = {self._expiry} "
            f"WHERE {self._is_of(lease.source, lease.token)}"
        )
        return Statement("fence", sql, expect_rows=1, mismatch=lambda: _lost(lease), lock=self._turn)

    def lock(self, source: str) -> Statement:
        """Holds back the merges of a source that another worker has, until the transaction ends.

        For a transaction that merges no changes, but must not run beside one that does. Raises LeaseLost, for
        another try, when nobody holds the source any more.
        """
        # DuckDB passes over an update that leaves all values as they are, and then no merge would meet with it.
        touched = self._dialect.later.format(moment="renewed_at", amount=1, unit="microsecond")
        sql = f"UPDATE {self._table} SET renewed_at = {touched} WHERE {self._is_of(source)}"
        return Statement("lock lease", sql, expect_rows=1, mismatch=lambda: _gone(source), lock=self._turn)

    def _is_gone(self, holder: str, token: str) -> bool:
        """Whether the holder is known to be no more; of other hosts nothing is known."""
        if holder == self._holder:
            # Same host and pid: this process, or one before it (a container's first process is always pid 1).
            return token not in _held_here
        same_host = holder.rpartition(":")[0] == self._holder.rpartition(":")[0]
        return same_host and not self._is_alive(holder)

    def _taken(self, session: Session, lease: Lease, sql: str) -> Lease | None:
        _held_here.add(lease.token)  # before others can see the row
        is_ours = False
        try:
            is_ours = session.run([Statement("take lease", sql, lock=self._turn)]) == [1]
        finally:
            if not is_ours:
                _held_here.discard(lease.token)
        return lease if is_ours else None

    def _insert(self, lease: Lease) -> str:
        values = ", ".join(self._dialect.literal(v) for v in (lease.source, lease.holder, lease.token))
        insert = f"INSERT INTO {self._table} (source, holder, token, renewed_at, expires_at)"
        if self._dialect.has_upsert:
            return f"{insert} VALUES ({values}, {self._now}, {self._expiry}) ON CONFLICT (source) DO NOTHING"
        return (
            f"{insert} SELECT {values}, {self._now}, {self._expiry} "
            f"WHERE NOT EXISTS (SELECT 1 FROM {self._table} WHERE {self._is_of(lease.source)})"
        )

    def _replace(self, lease: Lease, former_token: str) -> str:
        literal = self._dialect.literal
        return (
            f"UPDATE {self._table} SET holder = {literal(lease.holder)}, token = {literal(lease.token)}, "
            f"renewed_at = {self._now}, expires_at = {self._expiry} "
            f"WHERE {self._is_of(lease.source, former_token)}"
        )

    def _is_of(self, source: str, token: str | None = None) -> str:
        condition = f"source = {self._dialect.literal(source)}"
        return f"{condition} AND token = {self._dialect.literal(token)}" if token else condition


def _gone(source: str) -> LeaseLost:
    return LeaseLost("the worker that held the source is gone", where=f"source {source}", hint="nothing to do")


def _lost(lease: Lease) -> LeaseLost:
    _held_here.discard(lease.token)
    return LeaseLost(
        "another worker has taken the source over",
        where=f"source {lease.source}",
        hint="nothing to do: this worker stands by until the source is free",
    )


__all__ = ["LEASE_SECONDS", "Lease", "Leases", "process_is_alive", "worker_name"]

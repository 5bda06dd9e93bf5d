"""Puts a rebuilt table in the old one's place where DDL commits by itself: step by step, and anyone can go on with it.

The transaction of a rebuild fills a new table beside the old one, and writes the new table's columns to the books with
an `exchange`. From then on nobody merges into the table of that name, for whoever reads such books comes here first:

1. the new table gets a name that nobody else knows, so that nothing another process has under way still finds it;
2. it is dressed in the old one's comments and clustering;
3. the two exchange their names;
4. the old one, which has the new one's name now, is dropped;
5. the books say that it is done.

The new table bears a mark, by which it is known in either place; so each step can be said again, and a crash between
any two of them leaves what the next who comes here recognises. https://docs.snowflake.com/en/sql-reference/sql/alter-table
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, replace
from hashlib import sha256

from cdc_merge.errors import SchemaConflict, SchemaMoved, WarehouseRefused
from cdc_merge.layout import Layout
from cdc_merge.ledger import Ledger, SourceState
from cdc_merge.logs import get_logger
from cdc_merge.model import Source
from cdc_merge.render import render
from cdc_merge.schema.catalog import MARK
from cdc_merge.schema.stored import Exchange, TargetSchema
from cdc_merge.warehouses import Dialect, Row, Session, Statement

_MARK = "cdc-merge rebuild {}"
_MARKED = "_cdc_position"  # the column whose comment is the mark

log = get_logger("cdc_merge.exchange")


def side_name(table: str, mark: str | None) -> str:
    """What a new table is called until it takes the place of `table`. `mark`: where that is after its transaction."""
    stem = f"_cdc_new_{sha256(table.encode()).hexdigest()[:8]}"
    return f"{stem}_{mark}" if mark else stem


def mark_of(exchange: Exchange) -> str:
    """The comment by which the new table is known."""
    return _MARK.format(exchange.mark)


def settled_state(session: Session, source: Source, *, ledger: Ledger, layout: Layout, dialect: Dialect) -> SourceState:
    """What is known of a source, once all its tables are in their places; for all who write to these.

    Raises SchemaMoved, for another try, where another process is about the same.
    """
    state = ledger.state(session, source.name, schema=layout.schema, targets=source.targets)
    waiting = {table: s for table, s in state.schemas.items() if s.exchange}
    if not waiting:
        return state
    for table, schema in waiting.items():
        _Exchanging(session, dialect, layout, source.name, table, schema).finish()
    state = ledger.state(session, source.name, schema=layout.schema, targets=source.targets)
    if any(schema.exchange for schema in state.schemas.values()):
        raise SchemaMoved("a table was rebuilt once more meanwhile", where=f"source {source.name}")
    return state


@dataclass(frozen=True)
class _Exchanging:
    """One table whose new one waits for its place."""

    session: Session
    dialect: Dialect
    layout: Layout
    source: str
    table: str
    schema: TargetSchema

    def finish(self) -> None:
        """Go on from wherever it stands."""
        assert self.schema.exchange
        there = self._look()
        if not any(there.values()):
            self._give_up(is_old_there=self.table in there)
            return
        for found in there.keys() - {self.table}:
            mine = f"{side_name(self.table, self.schema.exchange.mark)}_{uuid.uuid4().hex[:8]}"
            self._change(f"take over {self.table}", found, f"ALTER TABLE {self._quoted(found)} RENAME TO", mine)
            self._exchange_with(mine)
        if not self._look().get(self.table):
            raise self._moved()
        self._record()
        log.info("table_exchanged", source=self.source, target=self.table)

    def _give_up(self, *, is_old_there: bool) -> None:
        """Somebody dropped the new table. In the old one's rows nobody may trust: the floors are the new one's."""
        if is_old_there:
            raise SchemaConflict(
                "the table that was built anew is neither in its place nor beside it",
                where=f"target {self.table}",
                hint=f"UNDROP it; or: DROP TABLE {self._quoted(self.table)}, then cdc-merge reconcile --rebuild",
            )
        self._record()
        log.warning("rebuilt_table_gone", source=self.source, target=self.table)

    def _record(self) -> None:
        """The books wait for nothing more. A table that is gone is one as any other then."""
        columns = replace(self.schema, exchange=None).to_json()
        sql = self._say(
            "exchange_done",
            targets_table=self.layout.metadata["targets"],
            source=self.source,
            table=self.table,
            columns=columns,
            before=self.schema.to_json(),
        )
        self.session.run([Statement(f"record exchange of {self.table}", sql)])

    def _exchange_with(self, mine: str) -> None:
        there = self._look()
        if there.get(mine):
            self._dress(mine)
            if self.table in there:
                self._change(f"exchange {self.table}", mine, f"ALTER TABLE {self._quoted(self.table)} SWAP WITH", mine)
            else:
                self._change(f"rename to {self.table}", mine, f"ALTER TABLE {self._quoted(mine)} RENAME TO", self.table)
            there = self._look()
        if not there.get(self.table) or there.get(mine):
            raise self._moved()
        if mine in there:
            self._change(f"drop old {self.table}", mine, "DROP TABLE", mine)

    def _dress(self, mine: str) -> None:
        """The old table's comments, and what it was clustered by, for the new one."""
        assert self.schema.exchange
        renamed, from_catalog = self.schema.exchange.renamed, self.dialect.from_catalog
        has = {from_catalog(column) for column, _ in self._ask("exchange_comments", mine) if column is not None}
        for column, comment in self._ask("exchange_comments", self.table):
            if not comment or comment == MARK:
                continue
            place = f"TABLE {self._quoted(mine)}"
            if column is not None:
                known = from_catalog(column)
                name = renamed.get(known, known)
                if name == _MARKED or name not in has:
                    continue
                place = f"COLUMN {self._quoted(mine)}.{self.dialect.quote(name)}"
            self._change(f"comment on {self.table}", mine, f"COMMENT ON {place} IS {self.dialect.literal(comment)}")
        if self._ask("exchange_clustering", mine):
            return  # as the warehouse's URL says
        for (key,) in self._ask("exchange_clustering", self.table):
            words = {from_catalog(word) for word in re.findall(r"\w+", key)}
            gone = {from_catalog(c) for c, _ in self._ask("exchange_comments", self.table) if c is not None} - has
            if words & (gone | renamed.keys()):
                log.warning("clustering_not_kept", source=self.source, target=self.table, key=key)
                continue
            self._change(
                f"cluster {self.table}", mine, f"ALTER TABLE {self._quoted(mine)} CLUSTER BY {_in_brackets(key)}"
            )

    def _look(self) -> dict[str, bool]:
        """The table and what is beside it, by name; of each, whether it is the new one."""
        assert self.schema.exchange
        stem = self.dialect.in_catalog(side_name(self.table, self.schema.exchange.mark))
        rows = self.session.query(
            self._say(
                "exchange_tables",
                schema=self.dialect.in_catalog(self.layout.schema),
                table=self.dialect.in_catalog(self.table),
                mark=mark_of(self.schema.exchange),
                position=self.dialect.in_catalog(_MARKED),
                stem=stem,
                stem_length=len(stem),
            )
        )
        return {self.dialect.from_catalog(name): bool(is_new) for name, is_new in rows}

    def _ask(self, template: str, table: str) -> list[Row]:
        in_catalog = self.dialect.in_catalog
        return self.session.query(self._say(template, schema=in_catalog(self.layout.schema), table=in_catalog(table)))

    def _change(self, label: str, wanted: str, sql: str, other: str | None = None) -> None:
        """DDL on the table `wanted`; `other`: the name that the statement ends in."""
        whole = f"{sql} {self._quoted(other)}" if other else sql
        try:
            self.session.run([Statement(label, whole)])
        except WarehouseRefused as error:
            if wanted in self._look():
                raise
            raise self._moved() from error

    def _moved(self) -> SchemaMoved:
        return SchemaMoved(
            "another process puts the rebuilt table in its place",
            where=f"target {self.table}",
            hint="nothing to do: it is looked at again",
        )

    def _quoted(self, table: str) -> str:
        return self.dialect.quote(self.layout.schema, table)

    def _say(self, template: str, **values: object) -> str:
        return render(f"schema/sql/{template}.sql", self.dialect, **values)


def _in_brackets(key: str) -> str:
    """`LINEAR(a, b)` as `(a, b)`."""
    return key[key.index("(") :] if "(" in key else f"({key})"


__all__ = ["mark_of", "settled_state", "side_name"]

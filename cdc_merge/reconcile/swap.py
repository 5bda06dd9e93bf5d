"""Puts a new table in an old one's place: what keeps it from that, what is kept, what is lost, and the statements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from cdc_merge.errors import CdcMergeError, Refused
from cdc_merge.reconcile.hangings import Attached, Grant, Hangings, Relation, Storage, is_named
from cdc_merge.warehouses import Dialect, Statement

Kept = Mapping[str, str]
"""The old table's columns that stay, and what each is called in the new one."""


def refuse_obstacles(label: str, hangings: Hangings, kept: Kept) -> None:
    """Raises Refused where something would be lost that only people can make anew."""
    owned = [v.relation[1] for v in hangings.views if not v.is_ours]
    blind = [(v.relation[1], sorted(c for c in v.columns if kept.get(c) != c)) for v in hangings.views]
    obstacles = [
        *hangings.obstacles,
        *(f"view {name}, whose owner is a role that we may not act as" for name in owned),
        *(f"view {name}, which needs {', '.join(columns)}" for name, columns in blind if columns),
    ]
    if hangings.storage and not hangings.storage.is_ours:
        raise Refused(
            f"the table belongs to {hangings.storage.owner}",
            where=f"target {label}",
            hint=f"GRANT {hangings.storage.owner} TO the worker's user, or change the table's owner",
        )
    if obstacles:
        raise Refused(
            f"these hang on the table and cannot be carried over: {'; '.join(obstacles)}",
            where=f"target {label}",
            hint="drop them, rebuild, and create them anew",
        )


def notes(label: str, hangings: Hangings, kept: Kept) -> list[str]:
    """What a swap does not keep, in words."""
    found = [f"{label}: the {a.kind.lower()} {a.name} needs a column that is gone" for a in _unfit(hangings, kept)]
    found += [f"{label}: the constraint {what} cannot be added to a table" for what in hangings.lost]
    table_grants = [g for g in hangings.grants if g.column and g.column not in kept and _is_own(g, label, hangings)]
    found += [
        f"{label}: the grants on the column {c} went with it" for c in sorted({g.column or "" for g in table_grants})
    ]
    if any(not g.by_owner for g in hangings.grants):
        found.append(f"{label}: privileges that other roles had granted are granted by the owner now")
    if hangings.storage and hangings.storage.replica_identity == "i":
        found.append(f"{label}: its replica identity is the primary key again, not an index of someone's choice")
    return found


def setting_notes(label: str, hangings: Hangings, kept: Kept, alike: Kept) -> list[str]:
    """What was set of columns and is not kept, and which views may not be bound any more, in words."""
    lost = [s for s in hangings.settings if s.column not in alike]
    found = [f"{label}: {s.action} of the column {s.column} is not kept" for s in lost]
    if hangings.clustered and not _keeps_cluster(hangings, kept):
        found.append(f"{label}: it is not clustered on {hangings.clustered[0]} any more")
    return found


def doubts(label: str, hangings: Hangings, there: Sequence[str], kept: Kept, *, are_bound: bool) -> list[str]:
    """Views whose texts name a column that goes; only once they are bound is it certain that they need it.

    `are_bound`: before the old table goes; else they are left to people.
    """
    found = []
    for view in hangings.readers:
        if columns := [c for c in there if kept.get(c) != c and is_named(c, view.sql)]:
            then = "this would be refused" if are_bound else "it is to be made anew"
            found.append(f"{label}: if the view {view.relation[1]} needs {', '.join(columns)}, {then}")
    return found


def _keeps_cluster(hangings: Hangings, kept: Kept) -> bool:
    if hangings.clustered is None:
        return False
    name, is_primary = hangings.clustered
    return is_primary or name in {a.name for a in hangings.attached} - {a.name for a in _unfit(hangings, kept)}


def settings(new: Relation, hangings: Hangings, alike: Kept, dialect: Dialect) -> list[Statement]:
    """Sets of a new, empty table's columns what was set of the old one's, where their types are the same.

    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-STORAGE
    """
    table = dialect.quote(*new)
    return [
        Statement(
            f"set column {alike[s.column]}",
            f"ALTER TABLE {table} ALTER COLUMN {dialect.quote(alike[s.column])} {s.action}",
        )
        for s in hangings.settings
        if s.column in alike
    ]


def cluster(table: Relation, hangings: Hangings, kept: Kept, primary: str | None, dialect: Dialect) -> list[Statement]:
    """Remembers which index CLUSTER goes by. `primary`: what the primary key is called now."""
    if not hangings.clustered or not _keeps_cluster(hangings, kept):
        return []
    index = primary if hangings.clustered[1] else hangings.clustered[0]
    sql = f"ALTER TABLE {dialect.quote(*table)} CLUSTER ON {dialect.quote(index or '')}"
    return [Statement(f"cluster {table[1]}", sql)] if index else []


_BIND = "bind view "


def bind(hangings: Hangings, dialect: Dialect) -> list[Statement]:
    """Reads the plan of each view that finds the table by its name: what it needs must be there.

    When this is rolled back, DuckDB's catalog tells the new columns of a `SELECT *` until the view is bound next.
    """
    return [
        Statement(f"{_BIND}{'.'.join(v.relation)}", f"EXPLAIN SELECT * FROM {dialect.quote(*v.relation)}")
        for v in hangings.readers
    ]


def refusal_of(error: CdcMergeError) -> Refused | None:
    """What it means that a statement of `bind` failed; None: it was another one."""
    if not (error.where or "").startswith(_BIND):
        return None
    view = (error.where or "").removeprefix(_BIND)
    return Refused(
        f"with the new table the view {view} cannot be read: {error.message}",
        where=f"view {view}",
        hint="drop it, rebuild, and create it anew",
    )


def _is_own(grant: Grant, label: str, hangings: Hangings) -> bool:
    return grant.relation[1] == label and grant.relation not in {v.relation for v in hangings.views}


def _unfit(hangings: Hangings, kept: Kept) -> list[Attached]:
    return [a for a in hangings.attached if any(kept.get(c) != c for c in a.columns)]


def shape(new: Relation, storage: Storage, dialect: Dialect) -> list[Statement]:
    """Makes a new, empty table be kept as the old one is.

    https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-STORAGE-PARAMETERS
    """
    table = dialect.quote(*new)
    options = [*storage.options, *(f"toast.{o}" for o in storage.toast_options)]
    statements = []
    if options:
        statements.append(Statement("set options", f"ALTER TABLE {table} SET ({_settings(options, dialect)})"))
    if storage.tablespace:
        statements.append(Statement("set tablespace", f"ALTER TABLE {table} SET TABLESPACE {storage.tablespace}"))
    if storage.is_unlogged:
        statements.append(Statement("set unlogged", f"ALTER TABLE {table} SET UNLOGGED"))
    if identity := {"n": "NOTHING", "f": "FULL"}.get(storage.replica_identity):
        statements.append(Statement("set replica identity", f"ALTER TABLE {table} REPLICA IDENTITY {identity}"))
    return statements


def _settings(options: Sequence[str], dialect: Dialect) -> str:
    pairs = (o.partition("=") for o in options)
    return ", ".join(f"{name} = {dialect.literal(value)}" for name, _, value in pairs)


def swap(old: Relation, new: Relation, hangings: Hangings, kept: Kept, dialect: Dialect) -> Iterator[Statement]:
    """Drops the old table and puts the new one in its place, with all that can be kept, but for privileges.

    Nothing is dropped with CASCADE: what was not seen to hang on the table makes the engine refuse.
    """
    quote = dialect.quote
    table, name = quote(*old), old[1]
    for view in reversed(hangings.views):
        yield Statement(f"drop view {view.relation[1]}", f"DROP VIEW {quote(*view.relation)}")
    yield Statement(f"drop {name}", f"DROP TABLE {table}")
    yield Statement(f"rename to {name}", f"ALTER TABLE {quote(*new)} RENAME TO {quote(name)}")
    unfit = _unfit(hangings, kept)
    for made in hangings.attached:
        if made not in unfit:
            yield from _attach(made, old, dialect)
    if hangings.storage:
        yield Statement(f"give {name} to its owner", f"ALTER TABLE {table} OWNER TO {hangings.storage.owner}")
    for view in hangings.views:
        here = quote(*view.relation)
        options = f" WITH ({_settings(view.options, dialect)})" if view.options else ""
        yield Statement(f"create view {view.relation[1]}", f"CREATE VIEW {here}{options} AS {view.definition}")
        yield Statement(f"give {view.relation[1]} to its owner", f"ALTER VIEW {here} OWNER TO {view.owner}")
    views = {v.relation for v in hangings.views}
    for comment in hangings.comments:
        here, column = quote(*comment.relation), comment.column
        if column is not None and comment.relation not in views:
            column = kept.get(column)
        if column is not None:
            what = f"COLUMN {here}.{quote(column)}"
        elif comment.column is None:
            what = f"VIEW {here}" if comment.relation in views else f"TABLE {here}"
        else:
            continue  # its column is gone
        text = f"COMMENT ON {what} IS {dialect.literal(comment.text)}"
        yield Statement(f"comment on {comment.relation[1]}", text)


def _attach(made: Attached, table: Relation, dialect: Dialect) -> Iterator[Statement]:
    here, label = dialect.quote(*table), f"{made.kind.lower()} {made.name}"
    if made.kind == "CONSTRAINT":
        sql = f"ALTER TABLE {here} ADD CONSTRAINT {dialect.quote(made.name)} {made.definition}"
        named = f"CONSTRAINT {dialect.quote(made.name)} ON {here}"
    else:
        sql = made.definition
        named = f"{made.kind} {dialect.quote(table[0], made.name)}"
    yield Statement(f"create {label}", sql)
    if made.comment is not None:
        yield Statement(f"comment on {label}", f"COMMENT ON {named} IS {dialect.literal(made.comment)}")


def wanted_grants(old: Relation, hangings: Hangings, kept: Kept) -> list[Grant]:
    """The privileges after a swap: those of before, the table's columns under their new names."""
    wanted = []
    for grant in hangings.grants:
        if grant.column is not None and grant.relation == old:
            if grant.column in kept:
                wanted.append(replace(grant, column=kept[grant.column]))
        else:
            wanted.append(grant)
    return wanted


def grant_changes(wanted: Sequence[Grant], present: Sequence[Grant], dialect: Dialect) -> list[Statement]:
    """Makes the privileges that are present (default privileges of a new table) the wanted ones.

    https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html
    """
    asked, there = {replace(g, by_owner=True): None for g in wanted}, {replace(g, by_owner=True): None for g in present}
    statements = []
    for grant in there:
        if grant not in asked:
            sql = f"REVOKE {_privilege(grant, dialect)} FROM {grant.grantee}"
            statements.append(Statement(f"revoke on {grant.relation[1]}", sql))
    for grant in asked:
        if grant not in there:
            option = " WITH GRANT OPTION" if grant.grantable else ""
            sql = f"GRANT {_privilege(grant, dialect)} TO {grant.grantee}{option}"
            statements.append(Statement(f"grant on {grant.relation[1]}", sql))
    return statements


def _privilege(grant: Grant, dialect: Dialect) -> str:
    column = f" ({dialect.quote(grant.column)})" if grant.column is not None else ""
    return f"{grant.privilege}{column} ON TABLE {dialect.quote(*grant.relation)}"


def fresh_names(
    table: str, constraints: Sequence[tuple[str, str, str | None]], taken: set[str], *, max_bytes: int
) -> dict[str, str]:
    """What constraints (name, pg_constraint.contype, first column) would be called, had `table` been created so.

    As Postgres makes such names: of table and column the longer one is cut until all fits, and a number is added
    where the name is taken. https://github.com/postgres/postgres/blob/master/src/backend/commands/indexcmds.c
    """
    fresh = {}
    for name, kind, column in constraints:
        parts = {"p": (table, "", "pkey"), "n": (table, column or "", "not_null")}.get(kind)
        if parts is None:
            continue
        number = 0
        while True:
            wanted = _object_name(*parts[:2], f"{parts[2]}{number or ''}", max_bytes=max_bytes)
            if wanted not in taken:
                break
            number += 1
        if kind == "p":
            taken = taken | {wanted}
        fresh[name] = wanted
    return {name: wanted for name, wanted in fresh.items() if name != wanted}


def _object_name(first: str, second: str, suffix: str, *, max_bytes: int) -> str:
    one, two = first.encode(), second.encode()
    room = max_bytes - len(suffix.encode()) - 1 - (1 if two else 0)
    longest_one, longest_two = len(one), len(two)
    while longest_one + longest_two > room:
        if longest_one > longest_two:
            longest_one -= 1
        else:
            longest_two -= 1
    parts = [one[:longest_one].decode(errors="ignore")]
    if two:
        parts.append(two[:longest_two].decode(errors="ignore"))
    return "_".join([*parts, suffix])


__all__ = [
    "Kept",
    "bind",
    "cluster",
    "doubts",
    "fresh_names",
    "grant_changes",
    "notes",
    "refusal_of",
    "refuse_obstacles",
    "setting_notes",
    "settings",
    "shape",
    "swap",
    "wanted_grants",
]

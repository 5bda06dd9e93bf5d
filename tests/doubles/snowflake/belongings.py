"""What belongs to a table beside its columns: privileges, a comment and a clustering key. It goes where the table goes.

https://docs.snowflake.com/en/sql-reference/sql/create-table and https://docs.snowflake.com/en/sql-reference/sql/alter-table
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from string import Template

import duckdb
import fakesnow.info_schema
from sqlglot import exp

from tests.doubles.snowflake.locks import Table
from tests.doubles.snowflake.refusals import SYNTAX, UnknownForm, refuse

ROLE = "LOADER"  # of every session

# fakesnow shows comments of tables, no clustering, and one owner of all.
_TABLE, _VIEW = "SQL_CREATE_GLOBAL_INFORMATION_SCHEMA_TABLES_EXT", "SQL_CREATE_INFORMATION_SCHEMA_TABLES_VIEW"
setattr(
    fakesnow.info_schema,
    _TABLE,
    getattr(fakesnow.info_schema, _TABLE).replace(
        "comment varchar,", "comment varchar, clustering_key varchar, owner varchar,"
    ),
)
setattr(
    fakesnow.info_schema,
    _VIEW,
    Template(
        getattr(fakesnow.info_schema, _VIEW)
        .template.replace('NULL::VARCHAR AS "CLUSTERING_KEY"', '_fs_tables_ext.clustering_key AS "CLUSTERING_KEY"')
        .replace("'SYSADMIN' AS \"TABLE_OWNER\"", f"coalesce(_fs_tables_ext.owner, '{ROLE}') AS \"TABLE_OWNER\"")
    ),
)


def _insert_comment(catalog: str, schema: str, table: str, comment: str | None) -> str:
    """In the place of fakesnow's, for one column more."""
    values = ", ".join(
        "NULL" if v is None else "'" + v.replace("'", "''") + "'" for v in (catalog, schema, table, comment)
    )
    return f"INSERT OR REPLACE INTO _fs_global._fs_information_schema._fs_tables_ext VALUES ({values}, NULL, NULL)"


fakesnow.info_schema.insert_table_comment_sql = _insert_comment

# https://docs.snowflake.com/en/sql-reference/functions/policy_references
POLICIES_OF = re.compile(
    r"TABLE\(information_schema\.policy_references\(\s*"
    r"ref_entity_name => '([^']+)',\s*ref_entity_domain => 'TABLE'\s*\)\)",
    re.IGNORECASE,
)
SET_POLICY = re.compile(
    r"\s*ALTER\s+TABLE\s+(\S+)\s+MODIFY\s+COLUMN\s+(\w+)\s+SET\s+MASKING\s+POLICY\s+(\w+)\s*", re.IGNORECASE
)
SHOW_GRANTS = re.compile(r"\s*SHOW\s+GRANTS\s+ON\s+TABLE\s+(\S+)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Belongings:
    """`grants`: pairs of privilege and role. `policies`: of columns, each with what masks it."""

    comment: str | None = None
    clustering_key: str | None = None
    owner: str = ROLE
    grants: frozenset[tuple[str, str]] = frozenset()
    policies: frozenset[tuple[str, str]] = frozenset()


@dataclass
class Registry:
    """Those of all tables of the account."""

    known: dict[Table, Belongings] = field(default_factory=dict)

    def of(self, table: Table) -> Belongings:
        return self.known.get(table, Belongings())

    def change(self, connection: duckdb.DuckDBPyConnection, table: Table, **changed: object) -> None:
        """Set some of it."""
        self.put(connection, table, replace(self.of(table), **changed))  # type: ignore[arg-type]

    def put(self, connection: duckdb.DuckDBPyConnection, table: Table, belongings: Belongings) -> None:
        """Set all of it."""
        self.known[table] = belongings
        place = "_fs_global._fs_information_schema._fs_tables_ext"
        connection.execute(
            f"INSERT OR REPLACE INTO {place} VALUES (?, ?, ?, ?, ?, ?)",
            [*table, belongings.comment, belongings.clustering_key, belongings.owner],
        )


@dataclass(frozen=True)
class Making:
    """A CREATE TABLE, with what this module looks after taken out of it."""

    statement: exp.Create
    like: exp.Table | None
    copies_grants: bool
    clustering_key: str | None


def read_making(statement: exp.Create) -> Making:
    """Raises UnknownForm for CREATE TABLE … LIKE with anything else."""
    statement = statement.copy()
    like, copies, key = None, False, None
    properties = statement.args.get("properties")
    for each in list(properties.expressions) if properties else []:
        match each:
            case exp.LikeProperty():
                like = each.this
                each.pop()
            case exp.CopyGrantsProperty():
                copies = True
                each.pop()
            case exp.ClusterProperty():
                key = clustering_key(each)
                each.pop()
    is_temporary = bool(statement.find(exp.TemporaryProperty))
    if like is not None and (is_temporary or not statement.args.get("replace")):
        raise UnknownForm("CREATE TABLE LIKE that does not say OR REPLACE, or of a temporary table")
    if copies and like is None and not statement.args.get("replace"):
        refuse(*SYNTAX, "SQL compilation error:\nCOPY GRANTS without OR REPLACE, LIKE or CLONE")
    return Making(statement, like, copies, key)


def clustering_key(clause: exp.Expression) -> str:
    """As the catalog shows it: names in their case, quoted where they must be."""
    found = []
    for each in clause.expressions:
        column = each.this if isinstance(each, exp.Substring) and not each.args.get("length") else each
        if not isinstance(column, exp.Column):
            raise UnknownForm(f"CLUSTER BY {column.sql()}")
        name = column.name if column.this.args.get("quoted") else column.name.upper()
        name = name if re.fullmatch(r"[A-Z_][A-Z0-9_$]*", name) else '"' + name.replace('"', '""') + '"'
        found.append(name if each is column else f"SUBSTR({name}, {each.args['start'].sql()})")
    return f"LINEAR({', '.join(found)})"


__all__ = [
    "POLICIES_OF",
    "ROLE",
    "SET_POLICY",
    "SHOW_GRANTS",
    "Belongings",
    "Making",
    "Registry",
    "clustering_key",
    "read_making",
]

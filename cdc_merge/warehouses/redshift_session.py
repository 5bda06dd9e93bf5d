"""One session of Redshift, whatever the road to it: COPY from S3 into temporary tables, then one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa

from cdc_merge.errors import WarehouseRefused
from cdc_merge.model import Kind
from cdc_merge.warehouses import Row, Statement
from cdc_merge.warehouses.raw import Loaded, RawObject
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.redshift_errors import COPY_HINT
from cdc_merge.warehouses.redshift_link import RedshiftLink
from cdc_merge.warehouses.redshift_options import RedshiftOptions
from cdc_merge.warehouses.redshift_raw import load_raw
from cdc_merge.warehouses.redshift_staging import Stage, Staged, staged_types
from cdc_merge.warehouses.redshift_values import columns, few_rows, values
from cdc_merge.warehouses.staged_file import staged_tables
from cdc_merge.warehouses.tidying import Tidying

SETTINGS = (
    "SET timezone TO 'UTC'",
    # Names without a schema are staging tables only, so `DROP TABLE IF EXISTS x` cannot meet a user's table: temporary
    # tables are always found first. https://docs.aws.amazon.com/redshift/latest/dg/r_search_path.html
    "SET search_path TO pg_catalog",
    # With what a user may have set for good (ALTER USER … SET) texts would be cut off, of two attributes of one name
    # the last would count, and what is no JSON would be NULL. The page does not say whether COPY heeds them, too.
    # https://docs.aws.amazon.com/redshift/latest/dg/super-configurations.html#parsing-options-super
    "SET json_parse_dedup_attributes TO OFF",
    "SET json_parse_truncate_strings TO OFF",
    "SET parse_super_null_on_error TO OFF",
)


class RedshiftSession:
    """One connection, in use. `has_staged`: there are temporary tables in it, which go with it alone."""

    def __init__(self, link: RedshiftLink, stage: Stage, iam_role: str | None) -> None:
        self._link = link
        self._stage = stage
        self._iam_role = iam_role
        self.has_staged = False

    def load(self, table: str, reader: pa.RecordBatchReader) -> int:
        """Create or replace the temporary table `table` from the reader, by COPY from S3; returns the rows.

        A few rows go without S3. Raises TypeError for a column of a type that is never staged.
        """
        self.has_staged = True
        label, quoted = f"load {table}", REDSHIFT.quote(table)
        few, everything = few_rows(reader)
        if few is not None and (inserts := self._inserts(quoted, few)) is not None:
            definition = columns(few.schema, staged_types(few.schema))
            create = f"CREATE TEMPORARY TABLE {quoted} ({definition})"
            self._link.execute_all([f"DROP TABLE IF EXISTS {quoted}", create, *inserts], label)
            return int(few.num_rows)
        with self._stage.put(everything) as staged:
            drop = f"DROP TABLE IF EXISTS {quoted}"
            if any(column.is_moment for column in staged.columns):
                # COPY takes no time zones from Parquet: the times get theirs, that of the session, in a second step.
                self._copy([drop, "DROP TABLE IF EXISTS _cdc_incoming"], "_cdc_incoming", staged, label)
                shown = ", ".join(column.value for column in staged.columns)
                create = f"CREATE TEMPORARY TABLE {quoted} AS SELECT {shown} FROM _cdc_incoming"
                self._link.execute_all([create], label)
            else:
                self._copy([drop], quoted, staged, label)
        return staged.rows

    def _inserts(self, quoted: str, few: pa.Table) -> list[str] | None:
        """What puts a few rows into their table; None: it is too long for one statement."""
        if not few.num_rows:
            return []
        insert = f"INSERT INTO {quoted} VALUES\n{values(few)}"
        return [insert] if len(insert.encode()) <= self._link.max_statement_bytes else None

    def _copy(self, before: Sequence[str], into: str, staged: Staged, label: str) -> None:
        definition = ", ".join(f"{REDSHIFT.quote(column.name)} {column.type}" for column in staged.columns)
        create = f"CREATE TEMPORARY TABLE {into} ({definition})"
        if staged.manifest is None:
            self._link.execute_all([*before, create], label)
            return
        # https://docs.aws.amazon.com/redshift/latest/dg/r_COPY.html
        copy = (
            f"COPY {into}\nFROM {REDSHIFT.literal(staged.manifest)}\nIAM_ROLE {self._role}\nFORMAT AS PARQUET\nMANIFEST"
        )
        self._link.execute_all([*before, create, copy], label)
        if (loaded := self._copied(label)) != staged.rows:
            raise WarehouseRefused(f"COPY loaded {loaded} of {staged.rows} rows", where=label, hint=COPY_HINT)

    @property
    def _role(self) -> str:
        return "default" if self._iam_role is None else REDSHIFT.literal(self._iam_role)

    def _copied(self, label: str) -> int:
        """The rows of the session's last COPY: docs.aws.amazon.com/redshift/latest/dg/PG_LAST_COPY_COUNT.html"""
        [(rows,)] = self._link.query("SELECT pg_last_copy_count()", label)
        return int(rows)

    def copy_dynamodb(self, into: str, table: str, attributes: Sequence[str], *, region: str, percent: int) -> int:
        """Create the temporary table `into`, a VARCHAR for each attribute, and fill it by COPY from the table.

        https://docs.aws.amazon.com/redshift/latest/dg/t_Loading-data-from-dynamodb.html
        """
        self.has_staged = True
        label, quoted = f"copy {table}", REDSHIFT.quote(into)
        names = [REDSHIFT.quote(attribute) for attribute in attributes]
        text = f"{REDSHIFT.types[Kind.TEXT]} {REDSHIFT.byte_order}"
        definition = ", ".join(f"{name} {text}" for name in names)
        create = f"CREATE TEMPORARY TABLE {quoted} ({definition})"
        self._link.execute_all([f"DROP TABLE IF EXISTS {quoted}", create], label)
        # Compression that is chosen by a sample reads many items twice, at the table's cost. Without EMPTYASNULL it is
        # not said which of the two, NULL or an empty text, becomes of what an item lacks.
        # https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-source-dynamodb.html
        copy = (
            f"COPY {quoted} ({', '.join(names)})\nFROM {REDSHIFT.literal(f'dynamodb://{table}')}\n"
            f"IAM_ROLE {self._role}\nREADRATIO {percent}\nREGION {REDSHIFT.literal(region)}\n"
            "EMPTYASNULL\nCOMPUPDATE OFF"
        )
        self._link.execute_all([copy], label)
        return self._copied(label)

    def stage(self, path: Path, tables: Mapping[str, str]) -> None:
        """Copy tables of a DuckDB file into temporary tables."""
        for staged, rows in staged_tables(path, tables):
            self.load(staged, rows)

    def load_raw(self, table: str, objects: Sequence[RawObject]) -> Loaded | None:
        """Create or replace the temporary table `table` of the JSON documents in objects of S3."""
        self.has_staged = True
        return load_raw(self._link, self._stage, self._iam_role, table, objects)

    def run(self, statements: Iterable[Statement], *, foreseen: Sequence[Statement] = ()) -> list[int]:
        """Run all statements in one transaction; returns the rows each touched (-1 where unknown)."""
        return self._link.run(statements, begin="BEGIN")

    def tidy(self, schema: str, table: str) -> None:
        """Vacuum and analyze a table, outside of any transaction."""
        quoted = REDSHIFT.quote(schema, table)
        # https://docs.aws.amazon.com/redshift/latest/dg/r_VACUUM_command.html
        self._link.execute_all([f"VACUUM FULL {quoted} TO 95 PERCENT"], f"vacuum {table}")
        # https://docs.aws.amazon.com/redshift/latest/dg/r_ANALYZE.html
        self._link.execute_all([f"ANALYZE {quoted}"], f"analyze {table}")

    def query(self, sql: str) -> list[Row]:
        """Rows of one reading statement. Times are aware, in UTC; JSON is text; binary is bytes."""
        return self._link.query(sql)


def tidying(options: RedshiftOptions, session: Callable[[], AbstractContextManager[RedshiftSession]]) -> Tidying | None:
    """VACUUM and ANALYZE in a session of their own, in the hours that the URL names; None: it names none."""

    def tidy(schema: str, table: str) -> None:
        with session() as opened:
            opened.tidy(schema, table)

    return Tidying(options.vacuum, tidy) if options.vacuum else None


__all__ = ["SETTINGS", "RedshiftSession", "tidying"]

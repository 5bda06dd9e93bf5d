"""Amazon Redshift as a warehouse: COPY from S3 into temporary tables, then one transaction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import psycopg2
import psycopg2.extensions
import pyarrow as pa

from cdc_merge.errors import CdcMergeError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.model import Kind
from cdc_merge.warehouses import Observer, Row, Statement
from cdc_merge.warehouses.dialect import DUCKDB, Dialect
from cdc_merge.warehouses.driver import CONNECT_DEFAULTS, Connection, Link, Pool, error_text, is_lost
from cdc_merge.warehouses.raw import RawObject
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.redshift_raw import load_raw
from cdc_merge.warehouses.redshift_staging import Stage, Staged, staged_types
from cdc_merge.warehouses.redshift_url import read_url
from cdc_merge.warehouses.redshift_values import columns, few_rows, values
from cdc_merge.warehouses.tidying import Tidying

_SETTINGS = (
    "SET timezone TO 'UTC'",
    # Names without a schema are staging tables only, so `DROP TABLE IF EXISTS x` cannot meet a user's table: temporary
    # tables are always found first. https://docs.aws.amazon.com/redshift/latest/dg/r_search_path.html
    "SET search_path TO pg_catalog",
)

# What time may cure, by the codes of Postgres where Redshift has them, and by words where it has none of its own:
# serializable isolation (1023), a deadlock, a conflict with another transaction, a cluster that resizes or restarts.
# https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation-serializable-isolation-troubleshooting.html
# https://docs.aws.amazon.com/redshift/latest/dg/c_write_readwrite.html
_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
_CATALOG_CONFLICT = "23505"  # only the catalog enforces keys: another worker makes the same schema or table
_PASSING_WORDS = re.compile(
    r"\b1023\b|serializable isolation violation|deadlock detected|concurrent transaction|could not serialize"
    r"|table lock|SlowDown|Service Unavailable|InternalError",
    re.IGNORECASE,
)
_LOAD_FAILED = re.compile(r"load_error|Spectrum|S3ServiceException|COPY|manifest", re.IGNORECASE)
_STAGING_MEMORY = "256MB"  # to read a staged file with, a portion at a time
_HINTS = {
    "42501": "GRANT the worker's user what the statement needs; see: cdc-merge check",
    "42P01": "was the table dropped or renamed? see: cdc-merge plan; metadata: cdc-merge migrate",
    "42703": "was the column dropped or renamed? see: cdc-merge plan",
    "3F000": "was the schema dropped or renamed? see: cdc-merge plan; metadata: cdc-merge migrate",
}
_COPY_HINT = (
    "may the IAM role read the objects, and is the bucket in the cluster's region? "
    "SELECT * FROM sys_load_error_detail ORDER BY start_time DESC tells more"
)


class RedshiftWarehouse:
    """A Redshift cluster or workgroup, with a staging prefix on S3."""

    def __init__(self, url: str, *, observer: Observer | None = None) -> None:
        """`url`: `redshift://user:password@host:5439/db?staging=s3://bucket/prefix/&iam_role=arn[,arn…]&region=…`,

        with further options of libpq. Raises UsageError for a bad URL.
        """
        self._url = read_url(url)
        self._stage = Stage(self._url.options)
        self._observer = observer
        self._pool = Pool(self._connect)

    @property
    def dialect(self) -> Dialect:
        return REDSHIFT

    @property
    def name(self) -> str:
        """The URL without password and options."""
        return self._url.name

    @property
    def tidying(self) -> Tidying | None:
        """VACUUM and ANALYZE, in the hours that the URL names."""
        window = self._url.options.vacuum
        return Tidying(window, self._tidy) if window else None

    def _tidy(self, schema: str, table: str) -> None:
        quoted = REDSHIFT.quote(schema, table)
        with self.session() as session:
            # https://docs.aws.amazon.com/redshift/latest/dg/r_VACUUM_command.html
            session.command(f"VACUUM FULL {quoted} TO 95 PERCENT", f"vacuum {table}")
            # https://docs.aws.amazon.com/redshift/latest/dg/r_ANALYZE.html
            session.command(f"ANALYZE {quoted}", f"analyze {table}")

    def is_there(self) -> bool:
        """A server either is, or says that it is not when it is asked."""
        return True

    @contextmanager
    def session(self) -> Iterator[RedshiftSession]:
        """A connection to this session alone; staging tables go with it.

        Raises WarehouseUnavailable when there is no connection.
        """
        connection = self._pool.take()
        session = RedshiftSession(connection, self._stage, self._url.options.iam_role, self._observer)
        try:
            yield session
        finally:
            # Temporary tables last as long as their connection, and nothing drops them all:
            # https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_TABLE_NEW.html
            self._pool.give_back(connection, clean=None if session.has_staged else "")

    def _connect(self) -> Connection:
        try:
            connection: Connection = psycopg2.connect(**{**CONNECT_DEFAULTS, **self._url.connection})  # type: ignore[call-overload]
            connection.autocommit = True  # transactions are begun and ended in words
            with connection.cursor() as cursor:
                for setting in _SETTINGS:
                    cursor.execute(setting)
        except psycopg2.Error as error:
            raise WarehouseUnavailable(
                error_text(error), where=self.name, hint="is the cluster up, and does its security group let us in?"
            ) from error
        psycopg2.extensions.register_type(_VARBYTE, connection)
        return connection

    def interrupt(self) -> None:
        """Break off what sessions run now, from any thread; they raise WarehouseUnavailable."""
        self._pool.interrupt()

    def close(self) -> None:
        """Close the connections that no session uses."""
        self._pool.close()


class RedshiftSession:
    """One connection, in use."""

    def __init__(self, connection: Connection, stage: Stage, iam_role: str | None, observer: Observer | None) -> None:
        self._link = Link(connection, react=_reaction, observer=observer)
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
        if few is not None:
            definition = columns(few.schema, staged_types(few.schema))
            self._link.execute(f"DROP TABLE IF EXISTS {quoted}", label)
            self._link.execute(f"CREATE TEMPORARY TABLE {quoted} ({definition})", label)
            if few.num_rows:
                self._link.execute(f"INSERT INTO {quoted} VALUES\n{values(few)}", label)
            return int(few.num_rows)
        with self._stage.put(everything) as staged:
            self._link.execute(f"DROP TABLE IF EXISTS {quoted}", label)
            if any(column.is_moment for column in staged.columns):
                # COPY takes no time zones from Parquet: the times get theirs, that of the session, in a second step.
                self._link.execute("DROP TABLE IF EXISTS _cdc_incoming", label)
                self._copy("_cdc_incoming", table, staged)
                shown = ", ".join(column.value for column in staged.columns)
                create = f"CREATE TEMPORARY TABLE {quoted} AS SELECT {shown} FROM _cdc_incoming"
                self._link.execute(create, label)
            else:
                self._copy(table, table, staged)
        return staged.rows

    def _copy(self, into: str, table: str, staged: Staged) -> None:
        label = f"load {table}"
        definition = ", ".join(f"{REDSHIFT.quote(column.name)} {column.type}" for column in staged.columns)
        self._link.execute(f"CREATE TEMPORARY TABLE {REDSHIFT.quote(into)} ({definition})", label)
        if staged.manifest is None:
            return
        # https://docs.aws.amazon.com/redshift/latest/dg/r_COPY.html
        self._link.execute(
            f"COPY {REDSHIFT.quote(into)}\nFROM {REDSHIFT.literal(staged.manifest)}\n"
            f"IAM_ROLE {self._role}\nFORMAT AS PARQUET\nMANIFEST",
            label,
        )
        if (loaded := self._copied()) != staged.rows:
            raise WarehouseRefused(f"COPY loaded {loaded} of {staged.rows} rows", where=label, hint=_COPY_HINT)

    @property
    def _role(self) -> str:
        return "default" if self._iam_role is None else REDSHIFT.literal(self._iam_role)

    def _copied(self) -> int:
        """The rows of the session's last COPY: docs.aws.amazon.com/redshift/latest/dg/PG_LAST_COPY_COUNT.html"""
        [(rows,)] = self._link.query("SELECT pg_last_copy_count()")
        return int(rows)

    def copy_dynamodb(self, into: str, table: str, attributes: Sequence[str], *, region: str, percent: int) -> int:
        """Create the temporary table `into`, a VARCHAR for each attribute, and fill it by COPY from the table.

        https://docs.aws.amazon.com/redshift/latest/dg/t_Loading-data-from-dynamodb.html
        """
        self.has_staged = True
        label, quoted = f"copy {table}", REDSHIFT.quote(into)
        names = [REDSHIFT.quote(attribute) for attribute in attributes]
        text = f"{REDSHIFT.types[Kind.TEXT]} {REDSHIFT.byte_order}"
        self._link.execute(f"DROP TABLE IF EXISTS {quoted}", label)
        definition = ", ".join(f"{name} {text}" for name in names)
        self._link.execute(f"CREATE TEMPORARY TABLE {quoted} ({definition})", label)
        # Compression that is chosen by a sample reads many items twice, at the table's cost. Without EMPTYASNULL it is
        # not said which of the two, NULL or an empty text, becomes of what an item lacks.
        # https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-source-dynamodb.html
        self._link.execute(
            f"COPY {quoted} ({', '.join(names)})\nFROM {REDSHIFT.literal(f'dynamodb://{table}')}\n"
            f"IAM_ROLE {self._role}\nREADRATIO {percent}\nREGION {REDSHIFT.literal(region)}\n"
            "EMPTYASNULL\nCOMPUPDATE OFF",
            label,
        )
        return self._copied()

    def stage(self, path: Path, tables: Mapping[str, str]) -> None:
        """Copy tables of a DuckDB file into temporary tables."""
        with duckdb.connect(str(path), read_only=True, config={"memory_limit": _STAGING_MEMORY}) as file:
            file.execute("SET TimeZone = 'UTC'")
            for staged, there in tables.items():
                self.load(staged, file.sql(f"FROM {DUCKDB.quote(there)}").to_arrow_reader(65_536))

    def load_raw(self, table: str, objects: Sequence[RawObject]) -> Mapping[str, int] | None:
        """Create or replace the temporary table `table` of the JSON documents in objects of S3."""
        self.has_staged = True
        return load_raw(self._link, self._stage, self._iam_role, table, objects)

    def run(self, statements: Iterable[Statement], *, foreseen: Sequence[Statement] = ()) -> list[int]:
        """Run all statements in one transaction; returns the rows each touched (-1 where unknown)."""
        return self._link.run(statements, begin="BEGIN")

    def command(self, sql: str, label: str) -> None:
        """Run one statement that must not be in a transaction."""
        self._link.execute(sql, label)

    def query(self, sql: str) -> list[Row]:
        """Rows of one reading statement. Times are aware, in UTC; JSON is text; binary is bytes."""
        return self._link.query(sql)


def _reaction(connection: Connection, error: psycopg2.Error, label: str) -> CdcMergeError:
    """What a driver's error asks for, with the statement's label as its place."""
    code, message = error.pgcode or "", error_text(error)
    if is_lost(error):
        connection.close()
        return WarehouseUnavailable(message, where=label)
    if code[:2] in _PASSING_CLASSES or code == _CATALOG_CONFLICT or _PASSING_WORDS.search(str(error)):
        return WarehouseUnavailable(message, where=label)
    hint = _HINTS.get(code)
    if hint is None and label.startswith("load ") and _LOAD_FAILED.search(str(error)):
        hint = _COPY_HINT
    return WarehouseRefused(message, where=label, hint=hint)


def _from_hex(value: str | bytes | None, _cursor: object) -> bytes | None:
    return None if value is None else bytes.fromhex(str(value))


# VARBYTE comes as hexadecimal text: https://docs.aws.amazon.com/redshift/latest/dg/r_VARBYTE_type.html
_VARBYTE = psycopg2.extensions.new_type((6551,), "VARBYTE", _from_hex)


__all__ = ["RedshiftSession", "RedshiftWarehouse"]

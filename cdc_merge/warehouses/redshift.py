"""Amazon Redshift by its own protocol, through psycopg2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg2
import psycopg2.extensions

from cdc_merge.errors import CdcMergeError, WarehouseUnavailable
from cdc_merge.warehouses import Observer
from cdc_merge.warehouses.dialect import Dialect
from cdc_merge.warehouses.driver import CONNECT_DEFAULTS, Connection, Link, Pool, error_text, is_lost
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.redshift_errors import reaction
from cdc_merge.warehouses.redshift_session import SETTINGS, RedshiftSession, tidying
from cdc_merge.warehouses.redshift_staging import Stage
from cdc_merge.warehouses.redshift_url import read_url
from cdc_merge.warehouses.tidying import Tidying


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
        return tidying(self._url.options, self.session)

    def is_there(self) -> bool:
        """A server either is, or says that it is not when it is asked."""
        return True

    @contextmanager
    def session(self) -> Iterator[RedshiftSession]:
        """A connection to this session alone; staging tables go with it.

        Raises WarehouseUnavailable when there is no connection.
        """
        connection = self._pool.take()
        link = _RedshiftLink(connection, react=_reaction, observer=self._observer)
        session = RedshiftSession(link, self._stage, self._url.options.iam_role)
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
                for setting in SETTINGS:
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


class _RedshiftLink(Link):
    """A connection of psycopg2, as a session of Redshift uses it."""

    max_statement_bytes = 16 * 2**20  # https://docs.aws.amazon.com/redshift/latest/dg/c_redshift-sql.html

    def execute_all(self, sqls: Sequence[str], label: str) -> None:
        """Run statements one after the other."""
        for sql in sqls:
            self.execute(sql, label)


def _reaction(connection: Connection, error: psycopg2.Error, label: str) -> CdcMergeError:
    """What a driver's error asks for, with the statement's label as its place."""
    message = error_text(error)
    if is_lost(error):
        connection.close()
        return WarehouseUnavailable(message, where=label)
    return reaction(error.pgcode or "", message, label, said=str(error))


def _from_hex(value: str | bytes | None, _cursor: object) -> bytes | None:
    return None if value is None else bytes.fromhex(str(value))


# VARBYTE comes as hexadecimal text: https://docs.aws.amazon.com/redshift/latest/dg/r_VARBYTE_type.html
_VARBYTE = psycopg2.extensions.new_type((6551,), "VARBYTE", _from_hex)


__all__ = ["RedshiftWarehouse"]

"""Amazon Redshift through its Data API, for workers without a network path to the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

from cdc_merge.warehouses import Observer
from cdc_merge.warehouses.dialect import Dialect, Limit
from cdc_merge.warehouses.redshift_data_api import DataApi
from cdc_merge.warehouses.redshift_data_link import DataLink
from cdc_merge.warehouses.redshift_data_proof import Proof
from cdc_merge.warehouses.redshift_data_url import read_data_url
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.redshift_session import RedshiftSession, tidying
from cdc_merge.warehouses.redshift_staging import Stage
from cdc_merge.warehouses.tidying import Tidying

_DOCS = "https://docs.aws.amazon.com/redshift/latest/mgmt"

DATA_LIMITS = (
    Limit(
        "over the Data API a statement has 200 KB at most: a table of very many columns stops its source",
        f"{_DOCS}/data-api.html",
    ),
    Limit(
        "over the Data API a row of a result has 64 KB at most: what shows longer ones is refused",
        f"{_DOCS}/data-api-troubleshooting.html",
    ),
    Limit(
        "over the Data API the locks of a worker that was killed last until its statement has ended, and a minute more",
        f"{_DOCS}/data-api.html#data-api-calling-considerations-session-reuse",
    ),
)

REDSHIFT_OVER_DATA_API = replace(REDSHIFT, limits=(*REDSHIFT.limits, *DATA_LIMITS))


class RedshiftDataWarehouse:
    """A Redshift cluster or workgroup, with a staging prefix on S3. Sessions of the service are kept between uses."""

    def __init__(self, url: str, *, observer: Observer | None = None) -> None:
        """`url`: as in redshift_data_url.py. Raises UsageError for a bad one."""
        self._url = read_data_url(url)
        self._api = DataApi(self._url)
        self._proof = Proof()
        self._stage = Stage(self._url.options)
        self._observer = observer
        self._lock = Lock()
        self._idle: list[DataLink] = []

    @property
    def dialect(self) -> Dialect:
        return REDSHIFT_OVER_DATA_API

    @property
    def name(self) -> str:
        """The URL without secret and options."""
        return self._url.name

    @property
    def tidying(self) -> Tidying | None:
        """VACUUM and ANALYZE, in the hours that the URL names."""
        return tidying(self._url.options, self.session)

    def is_there(self) -> bool:
        """A service either is, or says that it is not when it is asked."""
        return True

    @contextmanager
    def session(self) -> Iterator[RedshiftSession]:
        """A session of the service to this one alone; staging tables go with it.

        Raises WarehouseUnavailable when there is none, WarehouseRefused when we are not let in.
        """
        link = self._take()
        session = RedshiftSession(link, self._stage, self._url.options.iam_role)
        try:
            yield session
        finally:
            if session.has_staged or link.is_lost:
                # Temporary tables last as long as their session, and nothing drops them all:
                # https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_TABLE_NEW.html
                link.let_go()
            else:
                with self._lock:
                    self._idle.append(link)

    def _take(self) -> DataLink:
        while True:
            with self._lock:
                link = self._idle.pop() if self._idle else None
            if link is None:
                link = DataLink(self._api, self._proof, observer=self._observer)
                link.open(self.name)
                return link
            if link.take_up():
                return link
            link.let_go()

    def interrupt(self) -> None:
        """Break off what sessions run now, from any thread; they raise WarehouseUnavailable."""
        self._api.interrupt()

    def close(self) -> None:
        """Let go of the sessions that nobody uses."""
        with self._lock:
            while self._idle:
                self._idle.pop().let_go()


__all__ = ["DATA_LIMITS", "REDSHIFT_OVER_DATA_API", "RedshiftDataWarehouse"]

"""A warehouse that is open for a configuration, with what is asked of its metadata tables."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from cdc_merge.exchange import settled_state
from cdc_merge.layout import Layout, layout_of
from cdc_merge.lease import LEASE_SECONDS, Leases, worker_name
from cdc_merge.ledger import Ledger, SourceState
from cdc_merge.migrate import Migrator
from cdc_merge.model import Settings, Source
from cdc_merge.warehouses import Dialect, Observer, Session, Warehouse, open_warehouse


def warehouse_of(settings: Settings, *, observer: Observer | None = None) -> Warehouse:
    """The warehouse of the settings. Raises UsageError for an unknown scheme."""
    return open_warehouse(settings.warehouse, observer=observer, memory=settings.memory)


@dataclass(frozen=True)
class OpenWarehouse:
    """`is_ours`: it was opened here, and is closed here."""

    warehouse: Warehouse
    layout: Layout
    ledger: Ledger
    leases: Leases
    is_ours: bool

    @staticmethod
    def of(
        settings: Settings, warehouse: Warehouse | None = None, *, observer: Observer | None = None
    ) -> OpenWarehouse:
        """The warehouse given, which stays open, or that of the settings. Raises UsageError for an unknown scheme."""
        opened = warehouse or warehouse_of(settings, observer=observer)
        layout = layout_of(settings, opened)
        return OpenWarehouse(
            warehouse=opened,
            layout=layout,
            ledger=Ledger(layout.metadata, opened.dialect),
            leases=Leases(layout.metadata, opened.dialect, ttl=LEASE_SECONDS, holder=worker_name()),
            is_ours=warehouse is None,
        )

    @property
    def dialect(self) -> Dialect:
        return self.warehouse.dialect

    def session(self) -> AbstractContextManager[Session]:
        """As the warehouse's."""
        return self.warehouse.session()

    def state(self, session: Session, source: Source) -> SourceState:
        """What is known of a source. Raises MissingMetadata where it cannot be asked for."""
        Migrator(self.warehouse, self.layout.metadata_schema).require(session)
        return self.ledger.state(session, source.name, schema=self.layout.schema, targets=source.targets)

    def settled_state(self, session: Session, source: Source) -> SourceState:
        """The same for who writes to its tables: what a rebuild has left to be done to them is done first."""
        Migrator(self.warehouse, self.layout.metadata_schema).require(session)
        return settled_state(session, source, ledger=self.ledger, layout=self.layout, dialect=self.dialect)

    def close(self) -> None:
        """Close the connection, if it was opened here."""
        if self.is_ours:
            self.warehouse.close()

"""Gathers what `plan` tells of each source: its tables, what waits, and the documents a view could be made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdc_merge.backlog import count_waiting
from cdc_merge.feed.store import ObjectStore
from cdc_merge.layout import Layout
from cdc_merge.ledger import READABLE_SINCE, Ledger
from cdc_merge.migrate import Migration
from cdc_merge.model import ObjectRef, Source
from cdc_merge.planning.preview import Preview, preview
from cdc_merge.planning.typed_view import Attributes, read_attributes
from cdc_merge.warehouses import Session, Warehouse


class PlanReader:
    """Reads the plans of sources through one session; changes nothing."""

    def __init__(self, warehouse: Warehouse, layout: Layout, pending: Sequence[Migration]) -> None:
        """`pending`: the migrations that are due. Before the first ones nothing is known of any source."""
        self._dialect = warehouse.dialect
        self._layout = layout
        self._ledger = Ledger(layout.metadata, warehouse.dialect)
        self._is_known = all(m.version > READABLE_SINCE for m in pending)

    def read(self, session: Session, source: Source, *, with_views: bool) -> Preview:
        """The plan of one source; `with_views`: look into documents, too."""

        def is_merged(store: ObjectStore, refs: Sequence[ObjectRef]) -> set[ObjectRef]:
            return self._ledger.merged(session, source.name, store.bucket, refs) if self._is_known else set()

        schema = self._layout.schema
        state = None
        if self._is_known:
            state = self._ledger.state(session, source.name, schema=schema, targets=source.targets)
        documents: Mapping[str, Attributes] = {}
        if state and with_views:
            documents = read_attributes(session, self._dialect, schema, source, state.columns)
        return preview(
            source,
            self._dialect,
            self._layout,
            state,
            waiting=count_waiting(source, is_merged),
            documents=documents,
        )

"""Where the targets and the metadata tables of a configuration are in its warehouse."""

from __future__ import annotations

from dataclasses import dataclass

from cdc_merge.migrate import metadata_names
from cdc_merge.model import Settings
from cdc_merge.render import Name
from cdc_merge.warehouses import Dialect, Warehouse


@dataclass(frozen=True)
class Layout:
    """Where things are in the warehouse."""

    schema: str
    metadata_schema: str
    metadata: dict[str, Name]


def layout_of(settings: Settings, warehouse: Warehouse) -> Layout:
    """Where the targets and the metadata tables of a configuration are."""
    return layout_for(settings, warehouse.dialect)


def layout_for(settings: Settings, dialect: Dialect) -> Layout:
    """The same on any warehouse of an engine."""
    return Layout(
        schema=settings.schema or dialect.default_schema,
        metadata_schema=settings.metadata_schema,
        metadata=metadata_names(settings.metadata_schema),
    )

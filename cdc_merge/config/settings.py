"""From the checked file to the frozen settings the rest of the project works with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cdc_merge.config.checks import DEFAULT_METADATA_SCHEMA
from cdc_merge.config.models import (
    BatchModel,
    ColumnModel,
    ConfigModel,
    DefaultsModel,
    MatcherModel,
    ReconcileModel,
    SourceModel,
    TargetModel,
)
from cdc_merge.config.places import absolute_place, absolute_warehouse
from cdc_merge.config.references import Reference
from cdc_merge.config.values import item_path
from cdc_merge.model import (
    BatchLimits,
    Column,
    Condition,
    Deletes,
    Evolve,
    Expired,
    Load,
    Mask,
    Ordering,
    ReconcilePolicy,
    Scalar,
    Settings,
    Source,
    Target,
    TimeUnit,
)
from cdc_merge.names import snake_case


def build(config: ConfigModel, base: Path) -> Settings:
    """Settings of a file that has no mistakes; `base` is the absolute directory it stands in."""
    defaults = config.defaults or DefaultsModel()
    metadata_schema = config.metadata_schema or DEFAULT_METADATA_SCHEMA
    schemas = [schema for schema in (config.schema_, metadata_schema) if schema]
    return Settings(
        warehouse=absolute_warehouse(config.warehouse, base, schemas=schemas),
        schema=config.schema_,
        metadata_schema=metadata_schema,
        sources=tuple(_source(source, defaults, base) for source in config.sources),
    )


def _source(source: SourceModel, defaults: DefaultsModel, base: Path) -> Source:
    own, shared = source.batch or BatchModel(), defaults.batch or BatchModel()
    targets = source.targets or [TargetModel(table=snake_case(source.name))]
    return Source(
        name=source.name,
        changes=absolute_place(source.changes, base),
        key=tuple(source.key),
        targets=tuple(_target(target) for target in targets),
        poll=source.poll or defaults.poll or Source.poll,
        batch=BatchLimits(
            bytes=own.bytes or shared.bytes or BatchLimits.bytes,
            objects=own.objects or shared.objects or BatchLimits.objects,
        ),
        memory=source.memory or defaults.memory or Source.memory,
        load=Load(source.load or defaults.load or Source.load),
        ordering=Ordering(source.ordering) if source.ordering else None,
        exports=absolute_place(source.exports, base) if source.exports else None,
        table=source.table,
        reconcile=_policy(source.reconcile or ReconcileModel(), defaults.reconcile or ReconcileModel()),
    )


def _policy(own: ReconcileModel, shared: ReconcileModel) -> ReconcilePolicy:
    # Nothing deleted, not to request and no probes are values of their own: only what is not said is inherited.
    said = shared.model_dump(exclude_none=True) | own.model_dump(exclude_none=True)
    policy = ReconcilePolicy(**said)
    return replace(policy, probe=policy.probe or None)


def _target(target: TargetModel) -> Target:
    columns = target.columns
    unsaid = Evolve.ADD if columns is None else Evolve.FREEZE
    named = columns if isinstance(columns, dict) else None
    return Target(
        table=target.table,
        where=tuple(_condition(name, value) for name, value in (target.where or {}).items()),
        columns=None if named is None else tuple(_column(name, value) for name, value in named.items()),
        evolve=Evolve(target.evolve) if target.evolve else unsaid,
        deletes=Deletes(target.deletes) if target.deletes else Target.deletes,
        expired=Expired(target.expired) if target.expired else Target.expired,
        each=target.each,
        is_document=isinstance(columns, str),
        has_history=bool(target.history),
    )


def _condition(name: str, value: Scalar | list[Scalar] | MatcherModel) -> Condition:
    path = item_path(name)
    if isinstance(value, MatcherModel):
        return Condition(path, prefix=value.prefix, exists=value.exists)
    return Condition(path, any_of=tuple(value) if isinstance(value, list) else (value,))


def _column(name: str, value: Reference | ColumnModel) -> Column:
    if not isinstance(value, ColumnModel):
        return Column(name, value.path, of_parent=value.of_parent)
    kind = value.type
    if kind and value.unit:
        kind = replace(kind, unit=TimeUnit(value.unit))
    return Column(
        name,
        value.from_.path,
        kind,
        template=value.match.for_column(name) if value.match else None,
        mask=Mask(value.mask) if value.mask else None,
        of_parent=value.from_.of_parent,
    )

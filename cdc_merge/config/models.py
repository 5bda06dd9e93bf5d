"""The shape of the file, key by key, as pydantic models; their descriptions are the editor's help."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from cdc_merge.config import values
from cdc_merge.config.fields import (
    Changes,
    ColumnPath,
    Count,
    Document,
    Duration,
    DynamoDBTable,
    Every,
    Exports,
    Flag,
    ItemPath,
    Margin,
    Match,
    Memory,
    Name,
    PathKey,
    Percentage,
    Rate,
    Scalar,
    Size,
    SourceName,
    Type,
    Warehouse,
)


class Model(BaseModel):
    """What all of them share: unknown keys are mistakes, values do not change and stay out of errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class BatchModel(Model):
    bytes: Size | None = Field(
        default=None, description="Uncompressed bytes, at most.", json_schema_extra={"default": "512MB"}
    )
    objects: Count | None = Field(default=None, description="Objects, at most.", json_schema_extra={"default": 1000})


class ReconcileModel(Model):
    every: Every | None = Field(
        default=None,
        description="How often run reconciles by itself, at least 1m. Default: never. Needs exports.",
        examples=["24h"],
    )
    max_delete: Percentage | None = Field(
        default=None,
        description="The most of a target's rows that a reconcile deletes without --force.",
        json_schema_extra={"default": "5%"},
        examples=["5%"],
    )
    margin: Margin | None = Field(
        default=None,
        description="Changes from this long before an export's time on are left to the feed; at least 61s.",
        json_schema_extra={"default": "2m"},
        examples=["2m"],
    )
    probe: Rate | None = Field(
        default=None,
        description="Items that run reads from the table to estimate drift. Default: none. Needs table.",
        examples=["200/h"],
    )
    request: Flag | None = Field(
        default=None,
        description="Whether run asks DynamoDB for an export when one is due. Needs table, and exports on S3.",
        json_schema_extra={"default": False},
        examples=["true"],
    )


class DefaultsModel(Model):
    poll: Duration | None = Field(
        default=None, description="How often run looks for new objects.", json_schema_extra={"default": "5s"}
    )
    batch: BatchModel | None = Field(default=None, description="The most one merge takes.")
    memory: Memory | None = Field(
        default=None,
        description="What decoding may use before it spills to disk; at least 256MB.",
        json_schema_extra={"default": "1GB"},
    )
    load: Literal["worker", "warehouse"] | None = Field(
        default=None,
        description="Who decodes the objects. warehouse: Redshift or Snowflake does, as far as SQL can do it exactly.",
        json_schema_extra={"default": "worker"},
    )
    reconcile: ReconcileModel | None = Field(
        default=None,
        description="How targets are compared with exports, and repaired.",
        examples=["{every: 24h, max_delete: 5%}"],
    )


class MatcherModel(Model):
    prefix: str | None = Field(default=None, description="The attribute is text that begins so.")
    exists: Flag | None = Field(default=None, description="The attribute is there (true) or is not (false).")

    @model_validator(mode="after")
    def _has_one(self) -> MatcherModel:
        if (self.prefix is None) == (self.exists is None):
            raise values.Mistake("takes either `prefix` or `exists`", 'write {prefix: "ORDER#"} or {exists: true}')
        return self


def _where_tag(value: Any) -> str:
    if isinstance(value, dict | MatcherModel):
        return "<matcher>"
    return "<list>" if isinstance(value, list | tuple) else "<scalar>"


WhereValue = Annotated[
    Annotated[Scalar, Tag("<scalar>")]
    | Annotated[list[Scalar], Field(min_length=1), Tag("<list>")]
    | Annotated[MatcherModel, Tag("<matcher>")],
    Discriminator(_where_tag),
]


class ColumnModel(Model):
    from_: ColumnPath = Field(
        alias="from",
        description="The attribute, or a path into it: Address.City, Lines[0].Sku. "
        "With each: a path into the element, . for the element itself, ^OrderId for an attribute of the item.",
        examples=["Address.City"],
    )
    type: Type | None = Field(
        default=None, description="The column's type; without it the attribute's own type decides."
    )
    unit: Literal["s", "ms", "us"] | None = Field(
        default=None,
        description="The unit of epoch numbers, for timestamp.",
        json_schema_extra={"default": "s"},
    )
    match: Match | None = Field(
        default=None,
        description="The piece of a text that the column takes: ORDER#{}. Of several holes, "
        "ORDER#{order_id}#ITEM#{item_id}, it takes the one with its own name. {{ and }} are single braces.",
        examples=['"ORDER#{}"'],
    )
    mask: Literal["hash", "redact", "drop"] | None = Field(
        default=None,
        description="What stands in the value's place. hash: its SHA-256; redact: the word redacted; drop: NULL.",
        examples=["hash"],
    )


def _column_tag(value: Any) -> str:
    return "<column>" if isinstance(value, dict | ColumnModel) else "<path>"


ColumnValue = Annotated[
    Annotated[ColumnPath, Tag("<path>")] | Annotated[ColumnModel, Tag("<column>")], Discriminator(_column_tag)
]


def _columns_tag(value: Any) -> str:
    return "<document>" if isinstance(value, str) else "<columns>"


Columns = Annotated[
    Annotated[dict[Name, ColumnValue], Tag("<columns>")] | Annotated[Document, Tag("<document>")],
    Discriminator(_columns_tag),
]

TAGS = frozenset({"<scalar>", "<list>", "<matcher>", "<path>", "<column>", "<columns>", "<document>"})
"""Steps that pydantic puts into the place of an error and the file does not have."""


class TargetModel(Model):
    table: Name = Field(description="The table's name.", examples=["customers"])
    where: dict[PathKey, WhereValue] | None = Field(
        default=None,
        description="Which items become rows; all lines must hold.",
        examples=["{Type: Customer}"],
    )
    each: ItemPath | None = Field(
        default=None,
        description="A list, map or set of the item: each of its elements becomes a row. Needs columns, "
        "whose paths are then paths into the element.",
        examples=["Items"],
    )
    columns: Columns | None = Field(
        default=None,
        description="column: attribute. Without it every attribute becomes a column. "
        "document: one JSON column of the whole item.",
        examples=["{city: Address.City}"],
    )
    evolve: Literal["add", "freeze", "fail"] | None = Field(
        default=None, description="What a new attribute does. Default: add without columns, else freeze."
    )
    deletes: Literal["hard", "soft", "ignore"] | None = Field(
        default=None,
        description="What a REMOVE does. hard: the row goes; soft: it stays, with _cdc_deleted_at set; "
        "ignore: it stays as it is.",
        json_schema_extra={"default": "hard"},
    )
    expired: Literal["delete", "keep"] | None = Field(
        default=None,
        description="What a TTL expiry does. delete: as deletes says; keep: the row stays as it is.",
        json_schema_extra={"default": "delete"},
    )
    history: Flag | None = Field(
        default=None,
        description="Whether every change is also kept, in <table>_history. Not with each.",
        json_schema_extra={"default": False},
        examples=["true"],
    )


class SourceModel(DefaultsModel):
    name: SourceName = Field(
        description="The source's name in commands and metadata; at most 64 bytes.", examples=["ecommerce"]
    )
    changes: Changes = Field(
        description="Where the change objects are: s3://bucket/prefix/, a relative directory, or file:///…",
        examples=["s3://bucket/prefix/"],
    )
    key: list[Name] = Field(
        min_length=1,
        max_length=2,
        description="The partition key attribute, then the sort key attribute if there is one.",
        examples=["[PK, SK]"],
    )
    targets: list[TargetModel] | None = Field(
        default=None,
        min_length=1,
        description="The tables. Without it one target named after the source, every attribute a column.",
        examples=["[{table: customers}]"],
    )
    ordering: Literal["sequence", "time"] | None = Field(
        default=None, description="What orders the changes of one key. Default: told from the records."
    )
    exports: Exports | None = Field(
        default=None,
        description="Where exports are, above AWSDynamoDB/: s3://bucket/prefix/, a relative directory, or file:///…",
        examples=["s3://bucket/prefix/"],
    )
    table: DynamoDBTable | None = Field(
        default=None, description="The DynamoDB table's name or ARN.", examples=["ecommerce"]
    )


class ConfigModel(Model):
    """The configuration of cdc-merge."""

    warehouse: Warehouse = Field(
        description="duckdb:///file (three slashes: relative to this file, four: absolute), "
        "postgresql://…, redshift://…, redshift+data:///… or snowflake://…",
        examples=["duckdb:///warehouse.duckdb"],
    )
    # `schema` is a method of pydantic's own, so the field has another name.
    schema_: Name | None = Field(
        default=None,
        alias="schema",
        description="The schema of the targets. Default: the engine's own (DuckDB main, Postgres public).",
        examples=["analytics"],
    )
    metadata_schema: Name | None = Field(
        default=None,
        description="The schema of the ledger, tombstones and quarantine.",
        json_schema_extra={"default": "cdc_merge"},
        examples=["cdc_merge"],
    )
    defaults: DefaultsModel | None = Field(default=None, description="What each source takes unless it says otherwise.")
    sources: list[SourceModel] = Field(
        min_length=1,
        description="DynamoDB tables and their feeds.",
        examples=["[{name: …, changes: …, key: [PK]}]"],
    )

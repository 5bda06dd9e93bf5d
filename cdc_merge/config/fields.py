"""The values of the file as pydantic types: how each is read, and how an editor tells that it can be."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from cdc_merge.config import references, values
from cdc_merge.config.places import changes_url, exports_url, warehouse_url
from cdc_merge.config.templates import WrittenTemplate, written_template
from cdc_merge.model import ColumnType

_NUMBER = r"^\s*[0-9]+(\.[0-9]+)?\s*"
_PLAIN_TYPES = "text|integer|numeric|double|boolean|timestamp|date|json|binary"
_TYPE_PATTERN = rf"^\s*({_PLAIN_TYPES}|numeric\s*\(\s*[0-9]+\s*(,\s*[0-9]+\s*)?\))\s*$"


def _checked_path(text: str) -> str:
    values.item_path(text)
    return text


_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": _NUMBER + r"(ms|s|m|h|d)\s*$"})
Duration = Annotated[float, PlainValidator(values.duration), _DURATION_SCHEMA]
Every = Annotated[float, PlainValidator(values.every), _DURATION_SCHEMA]
Margin = Annotated[float, PlainValidator(values.margin), _DURATION_SCHEMA]
Rate = Annotated[
    float,
    PlainValidator(values.rate),
    WithJsonSchema({"type": "string", "pattern": _NUMBER + r"/\s*(s|m|h|d)\s*$"}),
]
Percentage = Annotated[
    float,
    PlainValidator(values.percentage),
    WithJsonSchema({"type": "string", "pattern": _NUMBER + r"%\s*$"}),
]
_SIZE_SCHEMA = WithJsonSchema({"type": "string", "pattern": _NUMBER + r"([kKmMgGtT][iI]?)?[bB]\s*$"})
Size = Annotated[int, PlainValidator(values.size), _SIZE_SCHEMA]
Memory = Annotated[int, PlainValidator(values.memory), _SIZE_SCHEMA]
Count = Annotated[int, PlainValidator(values.whole_number), WithJsonSchema({"type": "integer", "minimum": 1})]
Flag = Annotated[bool, PlainValidator(values.yes_or_no), WithJsonSchema({"type": "boolean"})]
Scalar = Annotated[
    str | int | float | bool,
    PlainValidator(values.scalar),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
Name = Annotated[str, Field(min_length=1)]
DynamoDBTable = Annotated[
    str,
    AfterValidator(values.dynamodb_table),
    WithJsonSchema({"type": "string", "pattern": values.TABLE_PATTERN}),
]
SourceName = Annotated[Name, AfterValidator(values.source_name)]
_PATH_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1})
ItemPath = Annotated[tuple[str | int, ...], PlainValidator(values.item_path), _PATH_SCHEMA]
ColumnPath = Annotated[references.Reference, PlainValidator(references.column_path), _PATH_SCHEMA]
PathKey = Annotated[str, AfterValidator(_checked_path)]
Type = Annotated[
    ColumnType,
    PlainValidator(values.column_type),
    WithJsonSchema({"type": "string", "pattern": _TYPE_PATTERN}),
]
Match = Annotated[
    WrittenTemplate,
    PlainValidator(written_template),
    WithJsonSchema({"type": "string", "pattern": r"\{[^{}]*\}"}),
]
Document = Annotated[str, PlainValidator(references.document), WithJsonSchema({"const": "document"})]
Warehouse = Annotated[
    str,
    BeforeValidator(warehouse_url),
    WithJsonSchema(
        {"type": "string", "pattern": r"^(duckdb:///|postgres(ql)?://|redshift://|redshift\+data:///|snowflake://)"}
    ),
]
Changes = Annotated[str, BeforeValidator(changes_url)]
Exports = Annotated[str, BeforeValidator(exports_url)]

"""What the fields of a result of the Data API mean, by the types of their columns."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cdc_merge.warehouses import Row

if TYPE_CHECKING:
    from mypy_boto3_redshift_data.type_defs import ColumnMetadataTypeDef, FieldTypeDef

FromText = Callable[[str], Any]

_VARBYTES = frozenset({"varbyte", "varbinary", "binary varying"})

# All that is neither a whole number, a float nor a truth value comes as text:
# https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html#data-api-calling-considerations-jdbc
_TYPES: dict[str, FromText] = {
    "numeric": Decimal,
    "float4": float,
    "float8": float,
    "timestamptz": lambda text: _moment(text),
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
}


def read_records(
    columns: Sequence[ColumnMetadataTypeDef],
    records: Sequence[Sequence[FieldTypeDef]],
    *,
    varbyte: Callable[[], FromText],
) -> list[Row]:
    """The rows as the other drivers give them: exact decimals, times aware and in UTC, binary as bytes.

    `varbyte`: asked where a column is of that type; gives what reads its texts.
    """
    readers = [_reader(column.get("typeName", ""), varbyte) for column in columns]
    return [tuple(map(_value, record, readers)) for record in records]


def _reader(type_name: str, varbyte: Callable[[], FromText]) -> FromText:
    return varbyte() if type_name in _VARBYTES else _TYPES.get(type_name, str)


def _value(field: FieldTypeDef, read: FromText) -> Any:
    ((kind, value),) = field.items()
    match kind:
        case "isNull":
            return None
        case "stringValue":
            return read(str(value))
        case "doubleValue":
            return float(str(value))
        case "blobValue":
            return bytes(value)  # type: ignore[call-overload]
    return value


def _moment(text: str) -> datetime:
    """A text without an offset is in the time zone of the session, which is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


# No page says how a VARBYTE comes: as hexadecimal digits, as where it is cast to text, or as other blobs do.
VARBYTE_FORMS: tuple[FromText, ...] = (bytes.fromhex, lambda text: base64.b64decode(text, validate=True))


__all__ = ["VARBYTE_FORMS", "FromText", "read_records"]

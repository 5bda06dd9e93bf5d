"""The types of Arrow columns that are staged, as each engine's table of types asks for them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as arrow


def is_text(arrow_type: pa.DataType) -> bool:
    """Whether it is staged as text. A column of nothing but nulls has no type of its own, and is too."""
    return bool(
        arrow.is_string(arrow_type)
        or arrow.is_large_string(arrow_type)
        or arrow.is_string_view(arrow_type)
        or arrow.is_null(arrow_type)
    )


def is_binary(arrow_type: pa.DataType) -> bool:
    """Whether it is bytes, of any length."""
    return bool(arrow.is_binary(arrow_type) or arrow.is_large_binary(arrow_type))


def is_integer(arrow_type: pa.DataType) -> bool:
    """Whether it is an integer of 32 or 64 bits."""
    return bool(arrow.is_int64(arrow_type) or arrow.is_int32(arrow_type))


def is_moment(arrow_type: pa.DataType) -> bool:
    """Whether it is a time with a zone."""
    return bool(arrow.is_timestamp(arrow_type) and arrow_type.tz is not None)


def is_moment_in_microseconds(arrow_type: pa.DataType) -> bool:
    """Whether it is such a time, and no finer than Postgres and Redshift have it.

    https://www.postgresql.org/docs/current/datatype-datetime.html
    """
    return is_moment(arrow_type) and arrow_type.unit == "us"

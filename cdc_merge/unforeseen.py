"""The errors that nobody thought of: what DuckDB, Arrow and Python raise for odd data, or for too little room.

Every fault that was thought of has a class of its own (errors.py); one of these must harm its own source and no other.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

UNFORESEEN = (
    duckdb.Error,
    pa.ArrowException,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

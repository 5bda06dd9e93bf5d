"""Which tables the shop becomes: all items in one, a table for each entity, orders with and without their lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.checks import KEY, digest, require, rows_of
from bench.feed import COLUMNS
from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, Target

BY_NAME = {column.name: column for column in COLUMNS}


def _columns(names: str) -> tuple[Column, ...]:
    return tuple(BY_NAME[name] for name in names.split())


def _is(*types: str) -> tuple[Condition, ...]:
    return (Condition(("Type",), any_of=types),)


# Type is in `where`, so it needs no column; with it, these are the 20 columns of one table, four of them in two tables.
ENTITIES: Mapping[str, tuple[str, tuple[Column, ...]]] = {
    "customers": ("Customer", _columns("username email name addresses total_orders total_spent")),
    "orders": (
        "Order",
        _columns("username order_id created_at status total_amount number_items address gsi1pk gsi1sk"),
    ),
    "order_items": ("OrderItem", _columns("order_id item_id description price amount total_cost gsi1pk gsi1sk")),
}

ONE_TABLE = (
    Target("items", where=_is(*(entity for entity, _ in ENTITIES.values())), columns=COLUMNS, evolve=Evolve.FREEZE),
)
THREE_TABLES = tuple(
    Target(table, where=_is(entity), columns=columns, evolve=Evolve.FREEZE)
    for table, (entity, columns) in ENTITIES.items()
)

LINES = Column("lines", ("Items",), ColumnType(Kind.JSON))
LINE_COLUMNS = (
    Column("order_id", ("OrderId",), ColumnType(Kind.TEXT), of_parent=True),
    Column("sku", ("Sku",), ColumnType(Kind.TEXT)),
    *_columns("description price amount total_cost"),
)
ORDERS = (Target("orders", where=_is("Order"), columns=(*ENTITIES["orders"][1], LINES), evolve=Evolve.FREEZE),)
ORDERS_AND_LINES = (
    *ORDERS,
    Target("order_lines", where=_is("Order"), each=("Items",), columns=LINE_COLUMNS, evolve=Evolve.FREEZE),
)

SHAPES: Mapping[str, tuple[Target, ...]] = {
    "one table": ONE_TABLE,
    "three tables": THREE_TABLES,
    "orders": ORDERS,
    "orders and lines": ORDERS_AND_LINES,
}

# The lines of the orders once more, by hand from the JSON that the orders keep.
_LINES_BY_HAND = """(
    SELECT pk, sk, order_id, place AS _cdc_index, e->>'Sku' AS sku, e->>'Description' AS description,
        CAST(e->>'Price' AS DECIMAL(12, 2)) AS price, CAST(e->>'Amount' AS BIGINT) AS amount,
        CAST(e->>'TotalCost' AS DECIMAL(12, 2)) AS total_cost
    FROM (
        SELECT pk, sk, order_id, unnest(CAST(lines AS JSON[])) AS e,
            generate_subscripts(CAST(lines AS JSON[]), 1) - 1 AS place
        FROM analytics.orders
    )
)"""


def tables_of(connection: Any, shape: str) -> dict[str, int]:
    """Rows and digest of each entity, in whatever table it lies. Raises RuntimeError where rows are not right."""
    found: dict[str, int] = {}
    for target in SHAPES[shape]:
        rescued = rows_of(connection, f"SELECT count(_cdc_rescued) FROM analytics.{target.table}")
        require(f"rescued rows of {target.table}", rescued, [(0,)])
    if shape in ("one table", "three tables"):
        for table, (entity, columns) in ENTITIES.items():
            is_one = shape == "one table"
            relation = f"(SELECT * FROM analytics.items WHERE type = '{entity}')" if is_one else f"analytics.{table}"
            found[f"rows {table}"], found[f"digest {table}"] = digest(connection, relation, columns)
        return found
    found["rows orders"], found["digest orders"] = digest(connection, "analytics.orders", ENTITIES["orders"][1])
    if shape == "orders and lines":
        key = (*KEY, "_cdc_index")
        lines = digest(connection, "analytics.order_lines", LINE_COLUMNS, key=key)
        require("rows and digest of lines", lines, digest(connection, _LINES_BY_HAND, LINE_COLUMNS, key=key))
        found["rows order_lines"], found["digest order_lines"] = lines
    return found

"""Does to the example's tables what people do by hand: alters rows, deletes one, and gives one another key."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

WAREHOUSE = Path(__file__).resolve().parent / "warehouse.duckdb"
DAMAGE = (
    "UPDATE ecommerce_customers SET total_spent = 0 WHERE username = 'hugoh'",
    "DELETE FROM ecommerce_orders WHERE order_id LIKE '3MXz3W%'",
    "UPDATE ecommerce_order_items SET pk = 'x' WHERE item_id = '61713'",
    "UPDATE ecommerce_order_lines SET amount = 9 WHERE item_id = '86720'",
)


def main() -> None:
    """The command."""
    if not WAREHOUSE.exists():
        sys.exit(f"{WAREHOUSE} is not there yet; run: make demo")
    with duckdb.connect(WAREHOUSE) as warehouse:
        for statement in DAMAGE:
            warehouse.execute(statement)
            print(f"by hand: {statement}")  # noqa: T201


if __name__ == "__main__":
    main()

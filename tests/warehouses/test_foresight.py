"""What is said before a transaction where DDL would end it."""

from __future__ import annotations

import pytest

from cdc_merge.warehouses import Statement
from cdc_merge.warehouses.foresight import Foresight


def test_ddl_that_may_not_be_needed_is_not_said_beforehand() -> None:
    with pytest.raises(AssertionError, match="make t"):
        Foresight.of([Statement("make t", "CREATE TABLE t (a int)", only_if=lambda: False)])
    query = Statement("look", "SELECT 1", only_if=lambda: False)
    assert Foresight.of([query]).before == ()

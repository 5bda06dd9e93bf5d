"""What a worker looks after while the warehouse is busy."""

from __future__ import annotations

import time

import pytest

from cdc_merge.errors import Transient
from cdc_merge.meanwhile import checking


def test_a_check_is_made_again_and_again_until_the_block_has_ended() -> None:
    checks: list[int] = []
    with checking(lambda: checks.append(1), every=0.01):
        deadline = time.monotonic() + 10
        while len(checks) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    done = len(checks)
    time.sleep(0.05)
    assert len(checks) == done


def test_what_a_check_raises_is_raised_when_the_block_has_ended() -> None:
    reached = False

    def check() -> None:
        raise Transient("the lease is lost")

    with pytest.raises(Transient, match="lease is lost"), checking(check, every=0.01):
        time.sleep(0.1)
        reached = True
    assert reached


def test_what_the_block_raises_comes_first() -> None:
    with pytest.raises(ValueError, match="own"), checking(lambda: None, every=0.01):
        raise ValueError("its own")

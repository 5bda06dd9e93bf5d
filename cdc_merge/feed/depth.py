"""Finds records that nest so deep that a warehouse's JSON parser would refuse them, and the whole batch with them."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# DynamoDB nests 32 levels, about 70 of its JSON: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
# Postgres gives up between 5,000 and 20,000, when its stack of 2 MB is full:
# https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-MAX-STACK-DEPTH
MAX_LEVELS = 4_000

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_STEP = np.zeros(256, np.int32)
_STEP[list(b"{[")] = 1
_STEP[list(b"}]")] = -1


def too_deep(lines: pa.StringArray) -> list[int]:
    """The lines with more than MAX_LEVELS of braces and brackets inside each other."""
    # Each level takes two bytes, so hardly a line of a usual feed is looked at.
    long = np.flatnonzero(pc.binary_length(lines).to_numpy(zero_copy_only=False) > 2 * MAX_LEVELS)
    return [int(line) for line in long if _is_deep(lines[int(line)].as_buffer().to_pybytes())]


def _is_deep(text: bytes) -> bool:
    if text.count(b"}") + text.count(b"]") <= MAX_LEVELS:
        return False
    bare: npt.NDArray[np.uint8] = np.frombuffer(_STRING.sub(b"", text), np.uint8)
    return int(np.cumsum(_STEP[bare]).max(initial=0)) > MAX_LEVELS

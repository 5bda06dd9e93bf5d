"""The native program tells records apart as numpy does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_merge import native
from cdc_merge.feed.framing import split, split_lines
from cdc_merge.native.framing import ends
from tests.support.decoding import NEEDS_NATIVE

pytestmark = NEEDS_NATIVE

# Longer than the 64 bytes that are looked at together, with ends on both sides of such a border.
PIECES = st.sampled_from([b"\n", b"}", b"{", b"}{", b"}\n{", b"a", b"x" * 60, b"}" * 63, b"{" * 64, b"\0", b"\xff"])


@given(st.lists(PIECES, max_size=20).map(b"".join))
def test_it_finds_the_ends_that_numpy_finds(text: bytes) -> None:
    buffer = np.frombuffer(text, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.SWITCH, "0")
        seams, lines = split(buffer).tolist(), split_lines(buffer).tolist()

    found = ends(buffer, seams=True)
    assert found is not None and found.tolist() == seams
    found = ends(buffer, seams=False)
    assert found is not None and found.tolist() == lines

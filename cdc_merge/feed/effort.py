"""Whether it pays to stage rows while the first pass reads: some of them will be outdated before it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

MOST_IN_VAIN = 0.2
"""Of a batch's changes, how many may be looked at in vain: reading all lines again costs as much as a fifth of that."""


class Effort:
    """Counts what was done, and in vain, from any thread. Once it does not pay it never does again in this batch.

    What is in vain by then is at most that share; what is the newest of its key then may be outdated all the same.
    """

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._seen = self._newest = self._unstaged = 0
        self._pays = True

    def pays(self, seen: int, newest: int, *, outdated: Callable[[int], int], share: float) -> bool:
        """Whether to stage what a portion brought: `newest` of the changes seen are the newest of their keys so far.

        `outdated`: how many of so many such changes are not any more, at least; `share`: how much of the batch is read.
        """
        with self._counting:
            if self._pays:
                self._seen += seen
                self._newest += newest
                # By the whole batch: later on there are few keys that were not met before, and few rows are in vain.
                in_vain = outdated(self._newest) + self._unstaged
                self._pays = in_vain <= MOST_IN_VAIN * self._seen / share
            return self._pays

    def was_in_vain(self, newest: int) -> None:
        """So many were looked at and could not be staged."""
        with self._counting:
            self._unstaged += newest

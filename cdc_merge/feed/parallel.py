"""Gives each core a portion: DuckDB runs a scan of so few rows on one thread, so portions go side by side instead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from cdc_merge.feed.chunks import Unframed, Unreadable
from cdc_merge.feed.portions import Portion
from cdc_merge.feed.workbench import Bench, Workbench

Work = Callable[[Bench, Portion], None]


class Crew:
    """Threads, each with its own bench, that work on portions. `size` is how many at once."""

    def __init__(self, workbench: Workbench, size: int) -> None:
        self.size = size
        self._workbench = workbench
        self._local = threading.local()

    def _bench(self) -> Bench:
        if not hasattr(self._local, "bench"):
            self._local.bench = self._workbench.bench()
        bench: Bench = self._local.bench
        return bench

    def work(
        self,
        events: Iterable[Portion | Unreadable | Unframed],
        work: Work,
        *,
        other: Callable[[Unreadable | Unframed], None] = lambda _event: None,
    ) -> None:
        """Do `work` on every portion, in no certain order; `other` hears of what is no portion, in this thread.

        The first error is raised after all that had begun has ended.
        """

        def do(portion: Portion) -> None:
            try:
                work(self._bench(), portion)
            finally:
                portion.release()

        running: set[Future[None]] = set()
        with ThreadPoolExecutor(self.size, thread_name_prefix="decode") as pool:
            for event in events:
                if isinstance(event, Unreadable | Unframed):
                    other(event)
                    continue
                if len(running) >= self.size:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                running.add(pool.submit(do, event))
            for future in running:
                future.result()

"""`run`: the worker on a terminal or in a container, with progress, health and signals."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cdc_merge import native
from cdc_merge.cli.common import Context, cli, command, report_run
from cdc_merge.cli.signals import stop_on_signals
from cdc_merge.health import Health, HealthServer
from cdc_merge.ledger import Counts
from cdc_merge.logs import get_logger
from cdc_merge.metrics import Metrics
from cdc_merge.stopping import Stop
from cdc_merge.worker import Worker

log = get_logger("cdc_merge.worker")


@cli.command()
@click.option("--once", is_flag=True, help="Merge everything there is, then exit.")
@click.option("--listen", metavar="HOST:PORT", help="Serve /metrics and /health there.")
@click.option("--no-migrate", is_flag=True, help="Do not create or upgrade the metadata tables.")
@command
def run(context: Context, *, once: bool, listen: str | None, no_migrate: bool) -> None:
    """Merge what arrives, until stopped."""
    stop, metrics, health = Stop(), Metrics(), Health()
    stop_on_signals(stop)
    server = HealthServer(listen, metrics=metrics, health=health) if listen else None
    began = time.perf_counter()
    try:
        with _progress(shown=once and not context.is_json and sys.stderr.isatty()) as progress:
            worker = Worker(
                context.settings,
                sources=[s.name for s in context.sources],
                migrate=not no_migrate,
                metrics=metrics,
                health=health,
                stop=stop,
                progress=progress,
            )
            log.info(
                "started",
                config=str(context.config),
                sources=[s.name for s in context.sources],
                warehouse=worker.warehouse.name,
                native=native.is_there(),
            )
            totals = worker.run_once() if once else worker.run()
    finally:
        if server:
            server.close()
    report_run(context, totals, time.perf_counter() - began)
    if totals.stopped:
        sys.exit(1)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[Counts, int], None]]:
    if not shown:
        yield lambda _counts, _left: None
        return
    columns = (
        TextColumn("merging"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("objects"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("merge", total=None)
        done = 0

        def advance(counts: Counts, left: int) -> None:
            nonlocal done
            done += counts.objects
            bar.update(task, completed=done, total=done + left)

        yield advance

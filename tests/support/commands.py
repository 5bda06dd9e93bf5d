"""The commands as a user types them, run in this process."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from cdc_merge import logs
from cdc_merge.cli import cli
from tests.support.harness import Harness


def invoke(*arguments: str, exits: int = 0, **options: Any) -> Result:
    """Run a command, which must exit so. `options`: of CliRunner.invoke."""
    with _unchanged_process():
        result = CliRunner().invoke(cli, arguments, **options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exits, result.output
    return result


@dataclass(frozen=True)
class Command:
    """The commands of a configuration."""

    config: Path

    def __call__(self, *arguments: str, exits: int = 0, **options: Any) -> Result:
        return invoke(*arguments, "--config", str(self.config), exits=exits, **options)

    def json(self, *arguments: str, exits: int = 0, **options: Any) -> Any:
        """The one document on standard output."""
        return json.loads(self(*arguments, "--format", "json", exits=exits, **options).stdout)


def command_of(harness: Harness, *targets: str) -> Command:
    """The commands for a harness's warehouse and objects, with targets as they stand in a configuration."""
    config = harness.directory.parent / "cdc-merge.yaml"
    lines = [
        f"warehouse: {harness.url}",
        f"schema: {harness.schema}",
        f"metadata_schema: {harness.metadata}",
        "sources:",
        "  - name: shop",
        f"    changes: file://{harness.directory}",
        f"    key: [{', '.join(harness.source.key)}]",
        "    targets:",
        *(f"      - {{{target}}}" for target in targets),
    ]
    config.write_text("\n".join(lines) + "\n")
    return Command(config)


@contextmanager
def _unchanged_process() -> Iterator[None]:
    """The commands own their process; in this one, put back what they set."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    root, ours = logging.getLogger(), logging.getLogger(logs.ROOT)
    before = list(root.handlers), root.level, ours.level
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        logging.captureWarnings(False)
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        ours.setLevel(before[2])

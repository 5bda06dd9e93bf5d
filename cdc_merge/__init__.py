"""Keep warehouse tables true to a DynamoDB table, from the change objects Firehose writes to S3.

In a program (an Airflow task, a Dagster op, a notebook):

    from cdc_merge import Config, Worker

    totals = Worker(Config.load("cdc-merge.yaml")).run_once()
    print(totals.counts.records)
"""

from __future__ import annotations

import os
from pathlib import Path

from cdc_merge.config import find_config, load_config
from cdc_merge.errors import CdcMergeError
from cdc_merge.model import Settings
from cdc_merge.reconcile.reconciler import Reconciler
from cdc_merge.reconcile.report import Report
from cdc_merge.stopping import Stop
from cdc_merge.worker import RunTotals, Worker


class Config:
    """Loads configurations."""

    @staticmethod
    def load(path: str | Path | None = None) -> Settings:
        """The checked configuration at `path`, else at $CDC_MERGE_CONFIG, else ./cdc-merge.yaml.

        Raises ConfigError with every mistake in it, UsageError when there is no such file.
        """
        found = find_config(str(path) if path is not None else None, environ=os.environ, cwd=Path())
        return load_config(found, environ=os.environ)


__all__ = ["CdcMergeError", "Config", "Reconciler", "Report", "RunTotals", "Stop", "Worker"]

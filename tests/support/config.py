"""Writes configurations and loads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cdc_merge.config import load_config
from cdc_merge.errors import ConfigError, Problem
from cdc_merge.model import (
    Settings,
    Target,
)

MINIMAL = """\
warehouse: duckdb:///warehouse.duckdb
sources:
  - name: shop
    changes: ./feed
    key: [PK]
"""


def in_target(lines: str) -> str:
    """A file whose one target has these lines."""
    indented = "\n".join("        " + line for line in lines.strip("\n").split("\n"))
    return MINIMAL + "    targets:\n      - table: t\n" + indented + "\n"


class Loader:
    """Writes a file and loads it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, text: str, environ: Mapping[str, str] | None = None) -> Settings:
        path = self.directory / "cdc-merge.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, environ=environ or {})

    def problems(self, text: str, environ: Mapping[str, str] | None = None) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            self(text, environ)
        return list(caught.value.problems)

    def problem(self, text: str, environ: Mapping[str, str] | None = None) -> tuple[str, str, str]:
        """The only problem of the text: line:column, message, hint."""
        problems = self.problems(text, environ)
        assert len(problems) == 1, problems
        return problems[0].place.partition(".yaml:")[2], problems[0].message, problems[0].hint or ""

    def target(self, lines: str, environ: Mapping[str, str] | None = None) -> Target:
        return self(in_target(lines), environ).sources[0].targets[0]

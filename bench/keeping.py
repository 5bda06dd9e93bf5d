"""Runs as JSON: machine, versions, and the figures of each measure. Seconds and bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.figures import Figure, Goal
from bench.runs import Machine, Run, Taking, number_of, runs_of


def write_json(path: Path, takings: Sequence[Taking]) -> None:
    """Keep what was measured so far."""
    runs = runs_of(takings)
    document = {
        "runs": [asdict(run) | {"at": _text(run.at)} for run in runs],
        "measures": [
            {
                "measure": taking.measure,
                "run": number_of(taking, runs),
                "at": _text(taking.at),
                "load": taking.load,
                "figures": [asdict(f) | {"ratio": f.ratio, "is_met": f.is_met} for f in taking.figures],
            }
            for taking in takings
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> list[Taking]:
    """What was kept. Raises ValueError if the file is no kept run."""
    document = json.loads(path.read_text(encoding="utf-8"))
    if "runs" not in document:
        raise ValueError(f"{path} is no run that this release of the benches has kept")
    runs = [_run(each) for each in document["runs"]]
    return [
        Taking(
            each["measure"],
            runs[each["run"] - 1],
            datetime.fromisoformat(each["at"]),
            each["load"],
            tuple(map(_figure, each["figures"])),
        )
        for each in document["measures"]
    ]


def _run(kept: dict[str, Any]) -> Run:
    at, machine = datetime.fromisoformat(kept["at"]), Machine(**kept["machine"])
    return Run(**kept | {"at": at, "machine": machine})


def _figure(kept: dict[str, Any]) -> Figure:
    plain = {name: value for name, value in kept.items() if name not in ("ratio", "is_met")}
    return Figure(**plain | {"goal": Goal(**plain["goal"]) if plain["goal"] else None})


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")

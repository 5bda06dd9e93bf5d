"""Which peers there are, what they can do, and whether their result is right: a load by each, checked and timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.by_sql import NAMES
from bench.checks import Digest, connect, digest, require
from bench.child import Step, Watch, workspace
from bench.feed import COLUMNS, ONE_BATCH, link, settings
from bench.feed import TABLE as OUR_TABLE
from bench.peers import tools
from bench.peers.installs import ENVIRONMENTS, version_of
from bench.peers.job import SCHEMA, TABLE, Job, PeerFailed, kinds
from bench.working import all_of, timed
from cdc_merge.model import BatchLimits

OURS, OURS_BY_DEFAULT = "cdc-merge", "cdc-merge, default batch"
_BATCHES = {OURS: ONE_BATCH, OURS_BY_DEFAULT: None}
_BY_SQL = "its rows prepared by one query of DuckDB, which is timed"
_MARKED = "removed rows stay, marked"


@dataclass(frozen=True)
class Peer:
    """`packages`: the requirements of its environment. `is_slow`: it handles rows one by one, and gets fewer."""

    name: str
    packages: str
    engines: tuple[str, ...]
    load: Callable[[Job], dict[str, float]]
    note: str
    rows: str = "TRUE"  # which of the rows in its table count
    is_slow: bool = False

    @property
    def title(self) -> str:
        return f"{self.name} {version_of(self.packages)}"


_BOTH = ("DuckDB", "Postgres")
PEERS = (
    Peer("dlt, Arrow", "dlt", _BOTH, tools.dlt_arrow, _BY_SQL),
    Peer("dlt, dicts", "dlt", _BOTH, tools.dlt_dicts, "its rows unwrapped by hand, in pages of dicts", is_slow=True),
    Peer("ingestr", "ingestr", _BOTH, tools.ingestr, f"{_BY_SQL}; {_MARKED}", rows="NOT removed"),
    Peer("sling", "sling", _BOTH, tools.sling, f"{_BY_SQL}; {_MARKED}", rows="NOT removed"),
    Peer("target-duckdb", "target-duckdb", ("DuckDB",), tools.target_duckdb, _BY_SQL, is_slow=True),
    Peer(
        *("pipelinewise-target-postgres", "pipelinewise-target-postgres", ("Postgres",)),
        *(tools.pipelinewise_postgres, _BY_SQL),
        is_slow=True,
    ),
    Peer(
        *("meltanolabs-target-postgres", "meltanolabs-target-postgres", ("Postgres",)),
        *(tools.meltano_postgres, f"{_BY_SQL}; {_MARKED}", "NOT removed"),
        is_slow=True,
    ),
)


def merge_by_peer(
    *, peer: str, warehouse: str | None, loads: dict[str, list[str]], expected: Digest
) -> dict[str, Step]:
    """Have a peer, or ours, take each load in turn, then look whether the table is right; `expected`: its digest.

    `warehouse` None: a DuckDB file that is thrown away. A peer that fails gives one step, `failed`, with its words.
    """
    with workspace() as folder:
        url = warehouse or f"duckdb:///{folder / 'warehouse.duckdb'}"
        if peer in _BATCHES:
            steps, relation = _by_us(url, folder, loads, _BATCHES[peer]), f"analytics.{OUR_TABLE}"
        else:
            (found,) = (each for each in PEERS if each.name == peer)
            try:
                steps = _by_peer(found, url, folder, loads)
            except PeerFailed as failure:
                return {"failed": Step(0.0, note=str(failure))}
            relation = f"(SELECT * FROM {SCHEMA}.{TABLE} WHERE {found.rows})"
        with closing(connect(url)) as connection:
            result = digest(connection, f"(SELECT {_as_ours(url)} FROM {relation} AS found)", COLUMNS)
        if peer not in _BATCHES and result != expected:
            return {
                "failed": Step(
                    0.0, note=f"its table is not right: {result[0]:,} rows, expected {expected[0]:,}; or values differ"
                )
            }
        require("rows and digest of our table", result, expected)
        return steps


def _by_us(url: str, folder: Path, loads: dict[str, list[str]], batch: BatchLimits | None) -> dict[str, Step]:
    feed = folder / "feed"
    chosen = settings(warehouse=url, changes=f"file://{feed}", columns=COLUMNS, batch=batch)
    steps = {}
    for label, paths in loads.items():
        link(map(Path, paths), feed)
        steps[label] = timed(chosen, all_of)
    return steps


def _by_peer(peer: Peer, url: str, folder: Path, loads: dict[str, list[str]]) -> dict[str, Step]:
    place = folder / "job"
    place.mkdir()
    steps = {}
    for label, paths in loads.items():
        watch, began = Watch(), perf_counter()
        told = peer.load(Job(ENVIRONMENTS / peer.packages, url, place, paths))
        # A peer that is a library says itself how long it took, without starting Python and importing.
        seconds = told.get("seconds", perf_counter() - began)
        step = watch.step()
        steps[label] = Step(seconds, told.get("cpu", step.cpu), peak=step.peak)
    return steps


def _as_ours(url: str) -> str:
    """The columns in the types of ours, whatever a peer made of them."""
    json = "JSON" if url.startswith("duckdb:") else "jsonb"
    types = {
        "text": "varchar",
        "integer": "bigint",
        "numeric": "decimal(12, 2)",
        "timestamp": "timestamptz",
        "json": json,
    }
    return ", ".join(f"CAST({name} AS {types[kinds().get(name, 'text')]}) AS {name}" for name in NAMES)


def peers_of(engine: str) -> Sequence[Peer]:
    return [peer for peer in PEERS if engine in peer.engines]


PROBES: dict[str, Callable[..., dict[str, Any]]] = {"merge_by_peer": merge_by_peer}

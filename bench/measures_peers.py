"""The measures of the peers: the same objects by other tools, checked before they are timed, wherever they win."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from bench.child import Result
from bench.feed import Feed, shop
from bench.figures import (
    NOT_RUN,
    Figure,
    Options,
    baseline_of,
    database,
    expected_of,
    figure_of,
    goal_of,
    interleaved,
    warm,
)
from bench.peers.installs import PeerMissing, environment_of
from bench.peers.roster import OURS, OURS_BY_DEFAULT, Peer, peers_of
from bench.server import durable_postgres
from tests.support.postgres import PostgresServer

_TRIAL_RECORDS = 2_000
_LOADS = ("first", "second")
_MOST = {("DuckDB", "dlt, Arrow"): 0.5}  # of the peer's time; of the others', all of it


def peers_duckdb(options: Options) -> list[Figure]:
    """Other tools to DuckDB: an empty table, then the second load onto the filled one."""
    return _peers(options, "peers-duckdb", "DuckDB", None)


def peers_postgres(options: Options) -> list[Figure]:
    """Other tools to Postgres: an empty table, then the second load onto the filled one."""
    with durable_postgres(options) as server:
        return _peers(options, "peers-postgres", "Postgres", server)


def _peers(options: Options, measure: str, engine: str, server: PostgresServer | None) -> list[Figure]:
    figures: list[Figure] = []
    asked = [peer for peer in peers_of(engine) if options.peers is None or peer.name in options.peers]
    for is_slow in (False, True):
        group = [peer for peer in asked if peer.is_slow is is_slow]
        if not group:
            continue
        reasons = {peer.name: _why_not(options, peer, server) for peer in group}
        records = min(options.records, options.slow_records) if is_slow else options.records
        feed = shop(records, below=options.data)
        warm((*feed.first, *feed.second))
        load = _loader(options, feed, server)
        able = [peer.name for peer in group if not reasons[peer.name]]
        taken = interleaved(options, {name: load(name) for name in (OURS, OURS_BY_DEFAULT, *able)})
        for peer in group:
            # What fails in a run that is timed fails for all.
            why = reasons[peer.name] or next(filter(None, map(_failure, taken.get(peer.name, ()))), "")
            figures += _against(options, measure, engine, peer, records, taken, why)
    return figures


def _against(
    options: Options,
    measure: str,
    engine: str,
    peer: Peer,
    records: int,
    taken: Mapping[str, list[Result]],
    why_not: str,
) -> list[Figure]:
    case = f"{records:,} records"
    if why_not:
        note = f"{NOT_RUN}: {why_not}"
        return [replace(figure_of(measure, case, taken[OURS], "first"), baseline=peer.title, note=note)]
    goal = goal_of(options, _MOST.get((engine, peer.name), 1), "x")
    return [
        figure_of(
            measure,
            f"{case}, {load} load{batch}",
            taken[ours],
            load,
            goal=goal,
            note=peer.note,
            **baseline_of(peer.title, taken[peer.name], load),
        )
        for ours, batch in ((OURS, ""), (OURS_BY_DEFAULT, ", default batch"))
        for load in _LOADS
    ]


def _why_not(options: Options, peer: Peer, server: PostgresServer | None) -> str:
    """Why a peer cannot be measured here: it cannot be installed, or run, or its table is not right. Else nothing."""
    try:
        environment_of(peer.packages)
    except PeerMissing as missing:
        why = str(missing)
    else:
        feed = shop(min(options.records, _TRIAL_RECORDS), below=options.data)
        why = _failure(_loader(options, feed, server)(peer.name)())
    if why:
        options.say(f"  {peer.name} is left out: {why}")
    return why


def _failure(result: Result) -> str:
    step = result.steps.get("failed")
    return step.note if step else ""


def _loader(options: Options, feed: Feed, server: PostgresServer | None) -> Callable[[str], Callable[[], Result]]:
    loads = {"first": feed.refs(feed.first), "second": feed.refs(feed.second)}
    expected = expected_of(options, loads)["table"]

    def load(peer: str) -> Callable[[], Result]:
        def run() -> Result:
            with _warehouse(server) as url:
                return options.probe("merge_by_peer", peer=peer, warehouse=url, loads=loads, expected=expected)

        return run

    return load


@contextmanager
def _warehouse(server: PostgresServer | None) -> Iterator[str | None]:
    if server is None:
        yield None
        return
    with database(server) as url:
        yield url


MEASURES: Mapping[str, Callable[[Options], list[Figure]]] = {
    "peers-duckdb": peers_duckdb,
    "peers-postgres": peers_postgres,
}

"""A reconcile, timed part by part, and what an expert would write by hand to find the same drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import duckdb
import psycopg2

from bench.baselines import copy_rows, table_of, upsert
from bench.checks import connect, digest, digest_of_export, require, rows_of
from bench.child import Step, Watch, workspace
from bench.drift import plant_drift
from bench.feed import COLUMNS, TABLE, settings
from cdc_merge.exports.finder import find_export
from cdc_merge.model import Settings, Source
from cdc_merge.open_warehouse import warehouse_of
from cdc_merge.reconcile.inputs import items_of
from cdc_merge.reconcile.reconciler import Reconciler
from cdc_merge.reconcile.report import Report
from cdc_merge.reconcile.snapshot import take_snapshot
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses.dialect import POSTGRES

_OURS = f"analytics.{TABLE}"
_FIRST_OF_TRANSACTION = "look at floors"
_COMPARING = (
    "analyze ",
    "compare ",
    "count ",
    "find ",
    "hash the export ",
    "sum up ",
    "take samples ",
)


def export_digest(*, files: list[str]) -> dict[str, Step]:
    """What the target must hold, by SQL over the export that shares nothing with ours."""
    watch = Watch()
    rows, total = digest_of_export(files)
    return {"digest": watch.step(counts={"rows": rows, "total": total})}


def reconcile_export(*, warehouse: str, export: str, expected: list[int]) -> dict[str, Step]:
    """Reconcile an empty target, then with no drift; what each did is checked afterwards.

    `expected`: the digest of the table.
    """
    with workspace() as folder:
        chosen = settings(warehouse=warehouse, changes=f"file://{folder}", columns=COLUMNS)
        rows, drift = expected[0], {"missing": 0, "extra": 0, "different": 0}
        steps = {"load": _checked(chosen, export, drift | {"missing": rows}, rows=0)}
        _check_table(warehouse, expected)
        return steps | {"equal": _checked(chosen, export, drift, rows=rows)}


def drift_away(*, warehouse: str) -> dict[str, Step]:
    """Damage 1 % of the rows, in a process of its own: what that takes is not the reconcile's."""
    watch = Watch()
    return {"drift": watch.step(counts=plant_drift(warehouse, _OURS))}


def reconcile_drifted(*, warehouse: str, export: str, expected: list[int], drift: dict[str, int]) -> dict[str, Step]:
    """Reconcile a table that has drifted so; what that did is checked afterwards."""
    with workspace() as folder:
        chosen = settings(warehouse=warehouse, changes=f"file://{folder}", columns=COLUMNS)
        steps = {"repair": _checked(chosen, export, drift, rows=expected[0])}
        _check_table(warehouse, expected)
        return steps


def _check_table(url: str, expected: list[int]) -> None:
    with closing(connect(url)) as connection:
        require("rows and digest of the table", digest(connection, _OURS, COLUMNS), expected)
        rescued = rows_of(connection, f"SELECT count(_cdc_rescued) FROM {_OURS}")
        require("rescued rows", rescued, [(0,)])


def _checked(chosen: Settings, export: str, drift: Mapping[str, int], *, rows: int) -> Step:
    step, report = _reconcile(chosen, export)
    found = report.targets[TABLE]
    verdicts = {name: getattr(found, name) for name in ("equal", "missing", "extra", "different", "newer", "repaired")}
    untouched = rows - drift["missing"] - drift["different"] if rows else 0
    require("verdicts", verdicts, {"equal": untouched, **drift, "newer": 0, "repaired": sum(drift.values())})
    return replace(step, counts={"items": report.items, **verdicts})


class _Timeline:
    """When the export was read, when the transaction began, and what its statements took."""

    def __init__(self) -> None:
        self.began = self.read = self.transaction = perf_counter()
        self.statements: dict[str, float] = {}

    def progress(self, _read: int, _whole: int) -> None:
        self.read = perf_counter()

    def observe(self, label: str, seconds: float) -> None:
        if label == _FIRST_OF_TRANSACTION:
            self.transaction = perf_counter() - seconds
            self.statements.clear()  # those of before are part of decoding
        self.statements[label] = self.statements.get(label, 0.0) + seconds

    def phases(self, seconds: float) -> dict[str, float]:
        """decode: finding, fetching, decoding. stage: looking for doubles, and handing over. repair: the rest."""
        decode, stage = self.read - self.began, self.transaction - self.read
        compare = sum(s for label, s in self.statements.items() if label.startswith(_COMPARING))
        return {"decode": decode, "stage": stage, "compare": compare, "repair": seconds - decode - stage - compare}


def _reconcile(chosen: Settings, export: str) -> tuple[Step, Report]:
    timeline, watch = _Timeline(), Watch()
    warehouse = warehouse_of(chosen, observer=timeline.observe)
    reconciler = Reconciler(chosen, warehouse=warehouse, progress=timeline.progress)
    try:
        report = reconciler.reconcile(chosen.sources[0].name, export)
    finally:
        reconciler.close()
        warehouse.close()
    step = watch.step(statements=timeline.statements)
    return replace(step, phases=timeline.phases(step.seconds)), report


def handwritten_compare(*, warehouse: str, export: str) -> dict[str, Step]:
    """Our decoding alone, then a binary COPY of the export's rows and an anti-join each way.

    It finds rows that are missing and rows too many, but not those that differ, and repairs nothing. The table it looks
    at is filled and damaged beforehand, which is not timed.
    """
    (source,) = settings(warehouse=warehouse, changes="file:///nowhere", columns=COLUMNS).sources
    book = open_book(source.targets[0], source.key, POSTGRES, None)
    with closing(psycopg2.connect(warehouse)) as connection, connection.cursor() as cursor:
        with workspace() as folder:
            names = _copy_export(cursor, source, export, folder, [])
        cursor.execute(table_of(book))
        cursor.execute(upsert(book, names))
        connection.commit()
        cursor.execute(f"ANALYZE {TABLE}")
        connection.commit()
        drift = plant_drift(warehouse, TABLE)
        with workspace() as folder:
            watch, marks = Watch(), [perf_counter()]
            _copy_export(cursor, source, export, folder, marks)
            counts = {
                "missing": _count_unmatched(cursor, "staged", "v0", "v1", TABLE, "pk", "sk"),
                "extra": _count_unmatched(cursor, TABLE, "pk", "sk", "staged", "v0", "v1"),
            }
            connection.commit()
            marks.append(perf_counter())
            phases = dict(zip(("decode", "copy", "anti-joins"), (b - a for a, b in pairwise(marks)), strict=True))
            step = watch.step(phases=phases, counts=counts)
    require("drift found by hand", counts, {name: drift[name] for name in counts})
    return {"compare": step}


def _copy_export(
    cursor: psycopg2.extensions.cursor, source: Source, export: str, folder: Path, marks: list[float]
) -> list[str]:
    """Decode the export and COPY its rows into the temporary table `staged`; returns the names of its columns."""
    book = open_book(source.targets[0], source.key, POSTGRES, None)
    items = items_of(find_export(None, export, source=source.name))
    snapshot = take_snapshot(items, folder, source=source, key_tags=None, books=[book], dialect=POSTGRES)
    marks.append(perf_counter())
    staged = ", ".join(f"s.c{i}" for i in range(len(book.schema.columns)))
    with duckdb.connect(str(snapshot.path), read_only=True) as file:
        file.execute("SET TimeZone = 'UTC'")
        rows = file.sql(
            f"SELECT k.partition_key, k.sort_key, {staged}, k.position, k.changed_at, s.rescued "
            "FROM rows_0 AS s JOIN keys AS k USING (n)"
        )
        names = copy_rows(cursor, rows.to_arrow_reader(65_536))
    cursor.execute("ANALYZE staged")
    marks.append(perf_counter())
    return names


def _count_unmatched(cursor: psycopg2.extensions.cursor, table: str, pk: str, sk: str, *other: str) -> int:
    their_table, their_pk, their_sk = other
    cursor.execute(
        f"SELECT count(*) FROM {table} AS t WHERE NOT EXISTS (SELECT FROM {their_table} AS o "
        f'WHERE o.{their_pk} = t.{pk} COLLATE "C" AND o.{their_sk} = t.{sk} COLLATE "C")'
    )
    ((count,),) = cursor.fetchall()
    return int(count)


PROBES: dict[str, Callable[..., dict[str, Step]]] = {
    "export_digest": export_digest,
    "reconcile_export": reconcile_export,
    "drift_away": drift_away,
    "reconcile_drifted": reconcile_drifted,
    "handwritten_compare": handwritten_compare,
}

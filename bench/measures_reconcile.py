"""The measures of reconcile: a table against an export of it."""

from __future__ import annotations

from bench.child import Result, workspace
from bench.export import ShopExport, shop_export
from bench.figures import Figure, Options, baseline_of, database, figure_of, goal_of, interleaved, warm
from bench.server import durable_postgres

_CASES = {"load": "first load", "equal": "no drift", "repair": "1 % drifted, repaired"}


def reconcile(options: Options) -> list[Figure]:
    """A DuckDB table against an export, against DuckDB's bare read of the export's files."""
    export = shop_export(options.items, below=options.data)
    expected = _expected(options, export)
    files = [str(path) for path in export.files]
    taken = interleaved(
        options,
        {
            "bare read": lambda: options.probe("bare_read", paths=files),
            "reconcile": lambda: _reconciled_file(options, export, expected),
        },
    )
    floor = baseline_of("read_ndjson_objects", taken["bare read"], "read")
    goal = goal_of(options, 3, "x")
    return [
        figure_of("reconcile", f"{export.items:,} items, {case}", taken["reconcile"], step, goal=goal, **floor)
        for step, case in _CASES.items()
    ]


def reconcile_postgres(options: Options) -> list[Figure]:
    """A Postgres table against an export, against decoding + hand-written COPY + an anti-join each way."""
    export = shop_export(options.postgres_items, below=options.data)
    expected = _expected(options, export)
    with durable_postgres(options) as server:

        def ours() -> Result:
            with database(server) as url:
                return _reconciled(options, url, export, expected)

        def by_hand() -> Result:
            with database(server) as url:
                return options.probe("handwritten_compare", warehouse=url, export=str(export.folder))

        taken = interleaved(options, {"by hand": by_hand, "reconcile": ours})
    floor = baseline_of("decode + COPY + anti-joins", taken["by hand"], "compare")
    goals = {"repair": goal_of(options, 3, "x")}
    return [
        figure_of(
            "reconcile-postgres",
            f"{export.items:,} items, {case}",
            taken["reconcile"],
            step,
            goal=goals.get(step),
            **floor,
        )
        for step, case in _CASES.items()
    ]


def _reconciled_file(options: Options, export: ShopExport, expected: list[int]) -> Result:
    with workspace() as folder:
        return _reconciled(options, f"duckdb:///{folder / 'warehouse.duckdb'}", export, expected)


def _reconciled(options: Options, warehouse: str, export: ShopExport, expected: list[int]) -> Result:
    """Filled, compared, damaged and repaired; the damaging is no step of the result."""
    given = {"warehouse": warehouse, "export": str(export.folder), "expected": expected}
    filled = options.probe("reconcile_export", **given)
    drift = options.probe("drift_away", warehouse=warehouse).steps["drift"].counts
    repaired = options.probe("reconcile_drifted", **given, drift=drift)
    return Result({**filled.steps, **repaired.steps}, max(filled.peak, repaired.peak))


def _expected(options: Options, export: ShopExport) -> list[int]:
    """What each run's table must hold: rows, and their digest."""
    warm(export.files)
    counts = options.probe("export_digest", files=[str(path) for path in export.files]).steps["digest"].counts
    return [counts["rows"], counts["total"]]

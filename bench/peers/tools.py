"""How each peer is run: dlt, ingestr, sling, and three Singer targets."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from bench.by_sql import NAMES
from bench.feed import COLUMNS
from bench.peers.job import SCHEMA, TABLE, Job, kinds, prepared

_HERE = Path(__file__).parent
_ROWS_AT_ONCE = 500_000  # of Singer targets: they write a batch when it is full, and each batch costs a merge
_DLT_TYPES = {"text": "text", "integer": "bigint", "numeric": "decimal", "timestamp": "timestamp", "json": "json"}
_SLING_TYPES = {
    "text": "text",
    "integer": "bigint",
    "numeric": "decimal(12,2)",
    "timestamp": "timestampz",
    "json": "json",
}
_SINGER_TYPES: dict[str, dict[str, object]] = {
    "text": {"type": ["null", "string"]},
    "integer": {"type": ["null", "integer"]},
    "numeric": {"type": ["null", "number"]},
    "timestamp": {"type": ["null", "string"], "format": "date-time"},
    "json": {"type": ["null", "string"]},
}


# --- dlt ---------------------------------------------------------------------------------------------------------


def dlt_arrow(job: Job) -> dict[str, float]:
    """Arrow tables that a query of DuckDB prepares in the same process: what dlt's docs call the fast road."""
    return _dlt(job, "arrow")


def dlt_dicts(job: Job) -> dict[str, float]:
    """Dicts from a generator, page by page: what most write."""
    return _dlt(job, "dicts")


def _dlt(job: Job, form: str) -> dict[str, float]:
    request, answer = job.folder / "request.json", job.folder / "answer.json"
    asked = {
        "input": form,
        "engine": "duckdb" if job.is_duckdb else "postgres",
        "warehouse": job.file if job.is_duckdb else with_password(job.url),
        "folder": str(job.folder / "pipelines"),
        "schema": SCHEMA,
        "sql": prepared(job.paths),
        "paths": list(job.paths),
        "attributes": {column.name: column.path[0] for column in COLUMNS},
        "types": {name: _DLT_TYPES[kind] for name, kind in kinds().items()},
    }
    request.write_text(json.dumps(asked))
    # https://dlthub.com/docs/reference/performance#parallelism-within-a-pipeline
    workers = {
        "NORMALIZE__WORKERS": str(os.cpu_count() or 1),
        "EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": "25000",
        # Files of a load go to the warehouse in parallel: https://dlthub.com/docs/reference/performance#load
        "NORMALIZE__DATA_WRITER__FILE_MAX_ITEMS": "50000",
    }
    job.run(job.program("python"), str(_HERE / "dlt_job.py"), str(request), str(answer), **workers)
    return dict(json.loads(answer.read_text()))


def with_password(url: str) -> str:
    """dlt asks for one, though the server of the benches trusts whoever comes."""
    parts = urlsplit(url)
    if parts.password:
        return url
    return parts._replace(netloc=f"{parts.username}:none@{parts.hostname}:{parts.port}").geturl()


# --- ingestr, sling ----------------------------------------------------------------------------------------------


def ingestr(job: Job) -> dict[str, float]:
    """From an Arrow file mapped into memory, `merge` by primary key."""
    rows = job.prepare("arrow")
    to = f"duckdb:///{job.file}" if job.is_duckdb else f"{job.url}?sslmode=disable"
    command = ("ingest", "--yes", "--progress", "log", "--incremental-strategy", "merge")
    keys = ("--primary-key", "pk", "--primary-key", "sk")
    places = ("--source-uri", f"mmap://{rows}", "--source-table", TABLE, "--dest-uri", to)
    job.run(job.program("ingestr"), *command, *keys, *places, "--dest-table", f"{SCHEMA}.{TABLE}")
    return {}


def sling(job: Job) -> dict[str, float]:
    """From CSV, `incremental` by primary key, with the types said; the wheel's program itself, not its wrapper."""
    rows = job.prepare("csv")
    packages = next((job.environment / "lib").glob("python*/site-packages"))
    for extension in packages.glob("duckdb_extension_*/extensions/*/*.duckdb_extension"):
        place = job.folder / ".duckdb" / "extensions" / extension.parent.name / "linux_amd64"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(extension, place)
    to = f"duckdb:///{job.file}" if job.is_duckdb else f"{job.url}?sslmode=disable"
    types = {name: _SLING_TYPES[kind] for name, kind in kinds().items()}
    job.run(
        str(packages / "sling_linux_amd64" / "bin" / "sling-linux-amd64"),
        *("run", "--src-stream", f"file://{rows}", "--src-options", json.dumps({"empty_as_null": True})),
        *("--columns", json.dumps(types | {"removed": "bool"}), "--mode", "incremental", "--primary-key", "pk,sk"),
        *("--tgt-conn", to, "--tgt-object", f"{SCHEMA}.{TABLE}"),
        DUCKDB_PATH=str(packages / "duckdb_cli" / "duckdb"),
        SLING_HOME_DIR=str(job.folder / "sling"),
    )
    return {}


# --- Singer targets ----------------------------------------------------------------------------------------------


def pipelinewise_postgres(job: Job) -> dict[str, float]:
    """Batches of half a million, removed rows deleted."""
    config = _postgres_of(job.url) | {"dbname": urlsplit(job.url).path[1:], "hard_delete": True}
    _singer(job, "target-postgres", config, is_hard_delete=True)
    return {}


def target_duckdb(job: Job) -> dict[str, float]:
    """Batches of half a million, removed rows deleted.

    It has DuckDB guess whether its files have a header, and loses a first row that is nothing but text: so that one
    with numbers comes first, the rows are sorted.
    """
    config: dict[str, object] = {"filepath": job.file, "hard_delete": True}
    _singer(job, "target-duckdb", config, is_hard_delete=True, order="total_orders NULLS LAST")
    return {}


def meltano_postgres(job: Job) -> dict[str, float]:
    """COPY, no validation of records, no columns of its own; it cannot delete rows, so they stay and are marked."""
    config = _postgres_of(job.url) | {
        "database": urlsplit(job.url).path[1:],
        "use_copy": True,
        "validate_records": False,
        "add_record_metadata": False,
        "activate_version": False,  # needs the columns that are left out
    }
    _singer(job, "target-postgres", config, is_hard_delete=False)
    return {}


def _postgres_of(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    return {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password or "none"}


def _singer(
    job: Job, program: str, config: dict[str, object], *, is_hard_delete: bool, order: str | None = None
) -> None:
    properties: dict[str, dict[str, object]] = {"pk": {"type": ["string"]}, "sk": {"type": ["string"]}}
    properties |= {name: _SINGER_TYPES[kind] for name, kind in kinds().items()}
    gone = "_sdc_deleted_at" if is_hard_delete else "removed"
    properties[gone] = {"type": ["null", "string" if is_hard_delete else "boolean"]}
    schema = {"type": "object", "properties": properties}
    first = {"type": "SCHEMA", "stream": TABLE, "key_properties": ["pk", "sk"], "schema": schema}
    (job.folder / "schema.json").write_text(json.dumps(first) + "\n")
    records = job.prepare(
        "json", columns=f"'RECORD' AS type, '{TABLE}' AS stream, {_record(gone)} AS record", order=order
    )
    common = {"default_target_schema": SCHEMA, "batch_size_rows": _ROWS_AT_ONCE}
    (job.folder / "config.json").write_text(json.dumps(config | common))
    files = ("schema.json", str(records), job.program(program), "config.json")
    job.run("sh", "-c", 'cat "$0" "$1" | "$2" --config "$3" >/dev/null', *files)


def _record(gone: str) -> str:
    """A struct of a row, with what JSON has no type for as text."""
    texts = {
        "timestamp": "strftime({0} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ')",
        "json": "CAST({0} AS VARCHAR)",
    }
    values = {name: texts.get(kinds().get(name, "text"), "{0}").format(name) for name in NAMES}
    is_gone = "CASE WHEN removed THEN '2026-01-01T00:00:00Z' END" if gone != "removed" else "removed"
    fields = ", ".join(f"{name}: {value}" for name, value in (values | {gone: is_gone}).items())
    return f"{{{fields}}}"

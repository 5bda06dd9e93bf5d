"""Runs in dlt's environment: one load by a dlt pipeline, from dicts as is usual, or from Arrow. REQUEST ANSWER (JSON).

Nothing of the project is imported here. Merge with delete-insert, dlt's default; a column says what is removed.
Upsert is slower on DuckDB: its second load took 291 s where delete-insert took 7.
https://dlthub.com/docs/general-usage/merge-loading, https://dlthub.com/docs/reference/performance
"""

import gzip
import json
import os
import sys
import time
from itertools import islice
from pathlib import Path

import dlt
import duckdb
import orjson

_KEY = ["pk", "sk"]
# The rows are one for each key already, so dlt need not look for the newest among them.
# https://dlthub.com/docs/general-usage/merge-loading
_DEDUPLICATED = {"disposition": "merge", "strategy": "delete-insert", "deduplicated": True}
_PAGE = (
    5_000  # rows that are yielded at once: https://dlthub.com/docs/reference/performance#yield-pages-instead-of-rows
)


def arrow(request):
    """The rows that a query of DuckDB prepares; one for each key."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        table = connection.sql(request["sql"]).to_arrow_table()
    return dlt.resource(
        [table],
        name="items",
        primary_key=_KEY,
        write_disposition=_DEDUPLICATED,
        columns={"removed": {"hard_delete": True}, "addresses": {"data_type": "json"}},
    )


def dicts(request):
    """Every change as a dict, unwrapped by hand; dlt keeps the newest of each key."""

    def pages():
        changes = _changes(request)
        while page := list(islice(changes, _PAGE)):
            yield page

    types = {name: {"data_type": kind} for name, kind in request["types"].items()}
    return dlt.resource(
        pages,
        name="items",
        primary_key=_KEY,
        write_disposition="merge",
        columns={**types, "removed": {"hard_delete": True}, "sequence": {"dedup_sort": "desc"}},
    )


def _changes(request):
    for path in request["paths"]:
        with gzip.open(path) as lines:
            for line in lines:
                record = orjson.loads(line)
                change = record["dynamodb"]
                image = change.get("NewImage", {})
                row = {column: _plain(image.get(attribute)) for column, attribute in request["attributes"].items()}
                row["pk"], row["sk"] = change["Keys"]["PK"]["S"], change["Keys"]["SK"]["S"]
                row["sequence"] = change["SequenceNumber"].zfill(40)
                row["removed"] = record["eventName"] == "REMOVE"
                yield row


def _busy():
    """Processor time of this process and of its workers that have ended."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def _plain(value):
    if value is None:
        return None
    ((tag, inner),) = value.items()
    return {name: _plain(each) for name, each in inner.items()} if tag == "M" else inner


def main():
    request = json.loads(Path(sys.argv[1]).read_text())
    began, cpu = time.perf_counter(), _busy()
    is_duckdb = request["engine"] == "duckdb"
    destination = (dlt.destinations.duckdb if is_duckdb else dlt.destinations.postgres)(request["warehouse"])
    pipeline = dlt.pipeline(
        "peer", pipelines_dir=request["folder"], destination=destination, dataset_name=request["schema"]
    )
    resource = {"arrow": arrow, "dicts": dicts}[request["input"]](request)
    # DuckDB reads Parquet itself, Postgres takes it by ADBC's binary COPY: faster than CSV and the default's INSERT.
    # https://dlthub.com/docs/dlt-ecosystem/destinations/postgres
    pipeline.run(resource, loader_file_format="parquet").raise_on_failed_jobs()
    Path(sys.argv[2]).write_text(json.dumps({"seconds": time.perf_counter() - began, "cpu": _busy() - cpu}))


if __name__ == "__main__":
    main()

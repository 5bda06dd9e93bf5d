"""Where things are: which file is the configuration, and what its relative paths and URLs mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cdc_merge.config.values import Mistake
from cdc_merge.errors import UsageError
from cdc_merge.warehouses.dialect import DUCKDB, Dialect
from cdc_merge.warehouses.engines import BY_SCHEME, examples
from cdc_merge.warehouses.snowflake_url import FORM, Address

DEFAULT_FILE = "cdc-merge.yaml"
VARIABLE = "CDC_MERGE_CONFIG"

DIALECTS: Mapping[str, Dialect] = {scheme: engine.dialect for scheme, engine in BY_SCHEME.items()}

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DUCKDB = "duckdb:///"
_CATALOG = "_cdc_file"

EXPORTS_FOLDER = "AWSDynamoDB"


def find_config(option: str | None, *, environ: Mapping[str, str], cwd: Path) -> Path:
    """The file of `--config`, else of $CDC_MERGE_CONFIG, else ./cdc-merge.yaml, relative to `cwd`.

    Messages name the file as returned here: pass `Path(".")` to keep a relative path short.
    Raises UsageError if it is not there.
    """
    if option is not None:
        path, chosen_by = cwd / option, "--config"
    elif environ.get(VARIABLE):
        path, chosen_by = cwd / environ[VARIABLE], f"${VARIABLE}"
    else:
        path, chosen_by = cwd / DEFAULT_FILE, None
    if path.is_file():
        return path
    if chosen_by:
        raise UsageError(
            "there is no such file", where=f"{chosen_by} {path}", hint="give the path of the configuration"
        )
    raise UsageError(
        "no configuration was found",
        where=str(path),
        hint=f"write one there, or name it: --config PATH, or ${VARIABLE}",
    )


def scheme(url: str) -> str | None:
    """The scheme of a URL; None for anything else."""
    match = _SCHEME.match(url)
    return match[1] if match else None


def warehouse_url(value: Any) -> str:
    """Check a warehouse's URL. Messages never show what follows the scheme: it may be a password."""
    hint = f"write {examples()}"
    if not isinstance(value, str):
        raise Mistake("must be a URL", hint)
    known = scheme(value)
    if known is None:
        raise Mistake("this is not the URL of a warehouse", hint)
    if known not in DIALECTS:
        raise Mistake(f"no warehouse is known by {known}://", hint)
    if known == "redshift":
        _staging(value)
    if known == "snowflake":
        _address(value)
    if DIALECTS[known] is not DUCKDB:
        return value
    if not value.startswith(_DUCKDB):
        raise Mistake("a duckdb URL has three slashes for a path relative to this file, four for an absolute one", hint)
    name = value[len(_DUCKDB) :].partition("?")[0]
    if not name.strip("/"):
        raise Mistake("the duckdb URL names no file", hint)
    if name == ":memory:":
        raise Mistake("a database in memory would be gone after each merge", hint)
    return value


def _staging(url: str) -> None:
    """What Redshift loads comes from S3, by a role: the URL must name both."""
    options = dict(parse_qsl(urlsplit(url).query))
    if not options.get("staging", "").startswith("s3://"):
        raise Mistake("the redshift URL does not say where to stage batches", "add ?staging=s3://bucket/prefix/")
    if not options.get("iam_role"):
        hint = "add &iam_role=arn:aws:iam::123456789012:role/name, or &iam_role=default"
        raise Mistake("the redshift URL names no IAM role that may read the staging prefix", hint)


def _address(url: str) -> None:
    """Everything that a connection to Snowflake needs is in its URL."""
    try:
        Address.of(url)
    except UsageError as error:
        raise Mistake(str(error), error.hint or FORM) from error


def absolute_warehouse(url: str, base: Path, *, schemas: Iterable[str] = ()) -> str:
    """The URL with the path of a file made absolute (`duckdb:////abs/x.duckdb`).

    A file that is named like one of `schemas` gets another name as a catalog, since `name.table` could mean both.
    """
    if DIALECTS[scheme(url) or ""] is not DUCKDB:
        return url
    name, _, options = url[len(_DUCKDB) :].partition("?")
    if _catalog(unquote(name)) in {schema.lower() for schema in schemas} and not re.search(r"(^|&)catalog=", options):
        options = "&".join(filter(None, (options, f"catalog={_CATALOG}")))
    return f"{_DUCKDB}{base / name}" + (f"?{options}" if options else "")


def _catalog(file: str) -> str:
    """The name that DuckDB gives a file as a catalog, in lower case: what comes before the first dot."""
    return Path(file).name.lstrip(".").partition(".")[0].lower()


def changes_url(value: Any) -> str:
    """Check where the change objects are."""
    return _objects_url(value, what="change objects")


def exports_url(value: Any) -> str:
    """Check where the exports are: the root, below which DynamoDB itself makes `AWSDynamoDB/<export id>/`.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    """
    place = _objects_url(value, what="exports")
    if EXPORTS_FOLDER in place.split("/"):
        raise Mistake(f"must be the root above {EXPORTS_FOLDER}/", f"leave out {EXPORTS_FOLDER}/ and what follows it")
    return place


def _objects_url(value: Any, *, what: str) -> str:
    hint = "write s3://bucket/prefix/, a directory relative to this file, or file:///absolute/directory"
    if not isinstance(value, str) or not value.strip():
        raise Mistake("must be a place", hint)
    known = scheme(value)
    if known == "s3" and not value[len("s3://") :].partition("/")[0]:
        raise Mistake("the URL names no bucket", hint)
    if known == "file" and not value[len("file://") :].startswith("/"):
        raise Mistake("a file URL has three slashes and an absolute path", hint)
    if known is None and re.match(r"(s3|file):", value, re.IGNORECASE):
        raise Mistake("the URL lacks a slash", hint)
    if known not in (None, "s3", "file"):
        raise Mistake(f"{what} cannot be read from {known}://", hint)
    return value


def absolute_place(place: str, base: Path) -> str:
    """`s3://…` and `file:///…` as they are; a directory as a file URL, without %-escapes."""
    return place if scheme(place) else f"file://{base / place}"

"""COPY INTO from a stage: a list of files, a transformation of Parquet or JSON, and the load history of a table."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from tests.doubles.snowflake.refusals import SYNTAX, UnknownForm, refuse
from tests.doubles.snowflake.values import variant

REMEMBERED = timedelta(days=64)
MOST_FILES = 1_000
MOST_OF_A_DOCUMENT = 128 * 2**20  # https://docs.snowflake.com/en/sql-reference/data-types-semistructured

# What the SELECT of a COPY may name beside `$1`: https://docs.snowflake.com/en/user-guide/querying-metadata
_METADATA = {"METADATA$FILENAME": "file_name", "METADATA$FILE_CONTENT_KEY": "content_key"}
# Each is off, and nothing else is known here: https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#type-json
_OFF = frozenset(
    {
        *("ENABLE_OCTAL", "ALLOW_DUPLICATE", "STRIP_OUTER_ARRAY", "STRIP_NULL_VALUES", "REPLACE_INVALID_CHARACTERS"),
        "SKIP_BYTE_ORDER_MARK",
    }
)
_BETWEEN = re.compile(r"[\s,]*")


@dataclass
class LoadHistory:
    """Which files a table has taken, for 64 days.

    https://docs.snowflake.com/en/user-guide/data-load-considerations-load#load-metadata
    """

    first_load: datetime | None = None
    files: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def is_skipped(self, name: str, etag: str, modified: datetime, *, now: datetime, take_uncertain: bool) -> bool:
        """Whether a file is passed over: it was loaded before, or nobody can tell any more."""
        known = self.files.get(name)
        if known and now - known[1] <= REMEMBERED:
            return known[0] == etag
        is_uncertain = (
            now - modified > REMEMBERED and self.first_load is not None and now - self.first_load > REMEMBERED
        )
        return is_uncertain and not take_uncertain

    def remember(self, name: str, etag: str, *, now: datetime) -> None:
        self.first_load = self.first_load or now
        self.files[name] = (etag, now)


@dataclass(frozen=True)
class Copy:
    """A COPY INTO as it was asked for. `compression`: of JSON; None: the files are Parquet."""

    target: exp.Expression
    table: exp.Table
    stage: str
    select: exp.Select
    files: tuple[str, ...]
    compression: str | None
    force: bool
    take_uncertain: bool
    purge: bool


def read_copy(statement: exp.Copy) -> Copy:
    """Raises the service's errors, and UnknownForm."""
    target = statement.this
    table = target.this if isinstance(target, exp.Schema) else target
    source = statement.args["files"][0]
    if not isinstance(source, exp.Subquery):
        raise UnknownForm("COPY INTO without a transformation")
    select = source.this
    stage = select.args["from_"].this
    options = {p.this.name.upper(): p for p in statement.args.get("params") or []}
    compression = _read_format(options.pop("FILE_FORMAT", None))
    if (on_error := options.pop("ON_ERROR", None)) is not None and "ABORT_STATEMENT" not in on_error.sql().upper():
        raise UnknownForm(f"COPY INTO with {on_error.sql()}")
    files = options.pop("FILES", None)
    if files is None:
        raise UnknownForm("COPY INTO without FILES")
    names = tuple(literal.name for literal in files.find_all(exp.Literal))
    if len(names) > MOST_FILES:
        refuse(*SYNTAX, f"SQL compilation error:\nFILES takes {MOST_FILES} names at most, not {len(names)}")
    flags = {name: "TRUE" in p.sql().upper() for name, p in options.items()}
    if unknown := sorted(flags.keys() - {"FORCE", "PURGE", "LOAD_UNCERTAIN_FILES", "RETURN_FAILED_ONLY"}):
        raise UnknownForm(f"COPY INTO with {', '.join(unknown)}")
    if flags.get("RETURN_FAILED_ONLY"):
        raise UnknownForm("COPY INTO that tells of failed files only")
    return Copy(
        target,
        table,
        stage.name if isinstance(stage, exp.Table) else str(stage.this),
        select,
        names,
        compression,
        force=flags.get("FORCE", False),
        take_uncertain=flags.get("LOAD_UNCERTAIN_FILES", False),
        purge=flags.get("PURGE", False),
    )


def _read_format(param: exp.Expression | None) -> str | None:
    """The compression of JSON files; None: they are Parquet."""
    said = {
        p.this.name.upper(): p.args["value"].name.upper()
        if isinstance(p.args["value"], exp.Var)
        else p.args["value"].sql()
        for p in (param.expressions if param is not None else [])
    }
    match said.pop("TYPE", None):
        case "PARQUET":
            return None
        case "JSON":
            compression = said.pop("COMPRESSION", "AUTO")
            if compression not in ("NONE", "GZIP") or said != dict.fromkeys(_OFF, "FALSE"):
                raise UnknownForm(f"COPY INTO of JSON with {compression}, {said}")
            return compression
    raise UnknownForm("COPY INTO of anything but Parquet and JSON")


def load(
    copy: Copy,
    folder: Path,
    history: LoadHistory,
    insert: Callable[[exp.Insert], int],
    *,
    now: datetime,
    full: str = "",
) -> list[tuple[str, str, int]]:
    """(file, status, rows) of each file; a file that is not there, or has an error, ends it all.

    `full`: what the full names of files begin with.
    https://docs.snowflake.com/en/sql-reference/sql/copy-into-table
    """
    paths = {name: folder / name for name in copy.files}
    for name, path in paths.items():
        if not path.is_file():
            refuse(91_016, "22000", f"Remote file '{name}' was not found.")
    with tempfile.TemporaryDirectory() as tables:
        readable = {
            name: path if copy.compression is None else _as_table(copy.compression, path, full + name, Path(tables))
            for name, path in paths.items()
        }
        results = []
        for name, path in paths.items():
            etag = hashlib.md5(path.read_bytes()).hexdigest()
            modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            if not copy.force and history.is_skipped(name, etag, modified, now=now, take_uncertain=copy.take_uncertain):
                results.append((name, "LOAD_SKIPPED", 0))
                continue
            rows = insert(_insert(copy, readable[name]))
            history.remember(name, etag, now=now)
            results.append((name, "LOADED", rows))
            if copy.purge:
                path.unlink()
    return results


def _as_table(compression: str, path: Path, full: str, folder: Path) -> Path:
    """The documents of a JSON file as Parquet, each with the file's name and checksum."""
    body = packed = path.read_bytes()
    try:
        if compression == "GZIP":
            body = gzip.decompress(packed)
        documents = list(_documents(body.decode()))
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        refuse(100_069, "22P02", f"Error parsing JSON: {error}\n  File '{full}'")
    rows = len(documents)
    columns = {
        "document": pa.array(documents, pa.string()),
        "file_name": pa.array([full] * rows, pa.string()),
        "content_key": pa.array([hashlib.md5(packed).hexdigest()] * rows, pa.string()),
    }
    table = folder / f"{len(list(folder.iterdir()))}.parquet"
    pq.write_table(pa.table(columns), table)
    return table


def _documents(text: str) -> Iterator[str]:
    """Values with nothing, white space or commas between them.

    https://docs.snowflake.com/en/user-guide/semistructured-considerations
    """
    decoder = json.JSONDecoder()
    at = _BETWEEN.match(text).end()  # type: ignore[union-attr]
    while at < len(text):
        _, end = decoder.raw_decode(text, at)
        if len(text[at:end].encode()) > MOST_OF_A_DOCUMENT:
            raise ValueError("Max LOB size exceeded")
        yield variant(text[at:end])
        at = _BETWEEN.match(text, end).end()  # type: ignore[union-attr]


def _insert(copy: Copy, path: Path) -> exp.Insert:
    """The transformation, with `$1:"column"` of Parquet as a column of the file, and `$1` of JSON as the document."""

    def column_of_file(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.JSONExtract) and isinstance(node.this, exp.Parameter) and copy.compression is None:
            key = node.expression.find(exp.JSONPathKey)
            if node.this.this.name != "1" or key is None:
                raise UnknownForm(f"COPY INTO of {node.sql()}")
            return exp.column(str(key.this), quoted=True)
        return node

    def column_of_documents(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Parameter) and node.this.name == "1":
            return exp.cast(exp.column("document", quoted=True), "JSON")
        if isinstance(node, exp.Column) and node.name.upper() in _METADATA:
            return exp.column(_METADATA[node.name.upper()], quoted=True)
        raise UnknownForm(f"COPY INTO of {node.sql()}")

    if copy.compression is None:
        columns = [e.copy().transform(column_of_file) for e in copy.select.expressions]
    else:
        columns = [column_of_documents(e) for e in copy.select.expressions]
    read = exp.Table(this=exp.func("read_parquet", exp.Literal.string(str(path))))
    return exp.Insert(this=copy.target.copy(), expression=exp.Select(expressions=columns).from_(read))

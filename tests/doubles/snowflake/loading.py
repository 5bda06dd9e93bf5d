"""COPY INTO from an internal stage: a list of files, a transformation of Parquet, and the load history of a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlglot import exp

from tests.doubles.snowflake.refusals import SYNTAX, UnknownForm, refuse

REMEMBERED = timedelta(days=64)
MOST_FILES = 1_000


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
    """A COPY INTO as it was asked for."""

    target: exp.Expression
    table: exp.Table
    stage: str
    select: exp.Select
    files: tuple[str, ...]
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
    file_format = options.pop("FILE_FORMAT", None)
    if file_format is None or "PARQUET" not in file_format.sql().upper():
        raise UnknownForm("COPY INTO of anything but Parquet")
    files = options.pop("FILES", None)
    if files is None:
        raise UnknownForm("COPY INTO without FILES")
    names = tuple(literal.name for literal in files.find_all(exp.Literal))
    if len(names) > MOST_FILES:
        refuse(*SYNTAX, f"SQL compilation error:\nFILES takes {MOST_FILES} names at most, not {len(names)}")
    flags = {name: "TRUE" in p.sql().upper() for name, p in options.items()}
    if unknown := sorted(flags.keys() - {"FORCE", "PURGE", "LOAD_UNCERTAIN_FILES"}):
        raise UnknownForm(f"COPY INTO with {', '.join(unknown)}")
    return Copy(
        target,
        table,
        stage.name if isinstance(stage, exp.Table) else str(stage.this),
        select,
        names,
        force=flags.get("FORCE", False),
        take_uncertain=flags.get("LOAD_UNCERTAIN_FILES", False),
        purge=flags.get("PURGE", False),
    )


def load(
    copy: Copy,
    folder: Path,
    history: LoadHistory,
    insert: Callable[[exp.Insert], int],
    *,
    now: datetime,
) -> list[tuple[str, str, int]]:
    """(file, status, rows) of each file; a file that is not there ends it all.

    https://docs.snowflake.com/en/sql-reference/sql/copy-into-table
    """
    paths = {name: folder / name for name in copy.files}
    for name, path in paths.items():
        if not path.is_file():
            refuse(91_016, "22000", f"Remote file '{name}' was not found.")
    results = []
    for name, path in paths.items():
        etag = hashlib.md5(path.read_bytes()).hexdigest()
        modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if not copy.force and history.is_skipped(name, etag, modified, now=now, take_uncertain=copy.take_uncertain):
            results.append((name, "LOAD_SKIPPED", 0))
            continue
        rows = insert(_insert(copy, path))
        history.remember(name, etag, now=now)
        results.append((name, "LOADED", rows))
        if copy.purge:
            path.unlink()
    return results


def _insert(copy: Copy, path: Path) -> exp.Insert:
    """The transformation, with `$1:"column"` as a column of the file."""

    def column_of_file(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.JSONExtract) and isinstance(node.this, exp.Parameter):
            key = node.expression.find(exp.JSONPathKey)
            if node.this.this.name != "1" or key is None:
                raise UnknownForm(f"COPY INTO of {node.sql()}")
            return exp.column(str(key.this), quoted=True)
        return node

    columns = [e.copy().transform(column_of_file) for e in copy.select.expressions]
    read = exp.Table(this=exp.func("read_parquet", exp.Literal.string(str(path))))
    return exp.Insert(this=copy.target.copy(), expression=exp.Select(expressions=columns).from_(read))

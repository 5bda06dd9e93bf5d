"""Fills the SQL templates: names become quoted identifiers, values become literals, nothing else gets in.

Templates are Jinja (the form dbt made common). Whatever an expression yields passes `_finalize`, which
knows seven types and refuses the rest, so text can never be pasted into SQL by accident.

Where engines need another text, there is another file. For `x.sql` an engine reads the first that is there of
`x.<form>.sql`, for each of its dialect's `forms`, and `x.sql`. That is the only rule.
Why Jinja and not an AST: docs/decisions/0002-sql-templates.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from cdc_merge.warehouses.dialect import Dialect

_PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Name:
    """An identifier in parts: (schema, table), (column,), …"""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class Sql:
    """SQL made by the project itself (a type of a dialect, an expression built from quoted parts)."""

    text: str


def name(*parts: str) -> Name:
    """An identifier; templates render it quoted for the dialect."""
    return Name(parts)


def _finalizer(dialect: Dialect) -> Callable[[Any], str]:
    def finalize(value: Any) -> str:
        match value:
            case Name(parts):
                return dialect.quote(*parts)
            case Sql(text):
                return text
            case bool():
                return "TRUE" if value else "FALSE"
            case None:
                return "NULL"
            case int():
                return str(value)
            case str():
                return dialect.literal(value)
            case datetime():
                moment = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00:00")
                return f"CAST('{moment}' AS TIMESTAMP WITH TIME ZONE)"
            case _:
                raise TypeError(f"a template may not print a {type(value).__name__}: {value!r}")

    return finalize


@lru_cache(maxsize=16)
def _environment(dialect: Dialect) -> jinja2.Environment:
    environment = jinja2.Environment(
        finalize=_finalizer(dialect),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        keep_trailing_newline=False,
    )
    # {%+ filter count_where %}a condition{% endfilter +%} (with plus signs where whitespace must stay);
    # {{ table | bare }}: its name without the schema.
    environment.filters["count_where"] = lambda condition: dialect.count_where.format(condition)
    # {% filter nul_hidden %}JSON as text{% endfilter %}, for functions of the engine; nul_shown: what came of it.
    environment.filters["nul_hidden"] = lambda text: dialect.nul_hidden.format(text)
    environment.filters["nul_shown"] = lambda text: dialect.nul_shown.format(text)
    # {{ "rows" | quoted }}: a column whose name is a word of some engine's.
    environment.filters["quoted"] = lambda column: Name((column,))
    # t.{{ key | as_bytes }}: a text column that is compared byte by byte, whatever its own order is.
    environment.filters["as_bytes"] = lambda column: Sql(dialect.as_bytes.format(dialect.quote(*column.parts)))
    # {{ greatest }}(a, b): of those that are not NULL.
    environment.globals["greatest"] = Sql(dialect.greatest)
    # {%+ filter is_among(row_address, rows) %}a query of so many addresses{% endfilter %}: of the row `t`.
    environment.filters["is_among"] = lambda query, address, rows=0: dialect.among(
        address=f"t.{address.text}", query=query, rows=rows
    )
    environment.filters["bare"] = lambda table: Name(table.parts[-1:])
    return environment


@lru_cache(maxsize=512)
def _template(path: Path, dialect: Dialect) -> jinja2.Template:
    return _environment(dialect).from_string(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=512)
def find_template(template: str, dialect: Dialect) -> Path | None:
    """The file of a template (a path below the package) that the engine reads; None: it has nothing of the kind."""
    path = _PACKAGE / template
    return next((p for p in (*(path.with_suffix(f".{f}.sql") for f in dialect.forms), path) if p.is_file()), None)


def render(template: str, dialect: Dialect, **values: Any) -> str:
    """The SQL of a template (a path below the package, such as `merge/sql/resolve.sql`)."""
    path = find_template(template, dialect) or _PACKAGE / template
    return _template(path, dialect).render(dialect=dialect, **values).strip()


def render_file(path: Path, dialect: Dialect, **values: Any) -> str:
    """The SQL of a template anywhere on disk."""
    return _template(path, dialect).render(dialect=dialect, **values).strip()

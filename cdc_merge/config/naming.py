"""What names may be: those the engine takes, and each given once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cdc_merge.config.marks import Finding, Mark
from cdc_merge.warehouses.dialect import Capitals, Dialect


def identifier(
    name: str | None, mark: Mark, what: str, dialect: Dialect | None, *, is_read_back: bool = True
) -> Iterator[Finding]:
    """Whether the engine takes the name of a schema, table or column (`what`).

    `is_read_back`: whether the name is known again by what the engine's catalog says. That of a schema never is.
    """
    if name and not name.isprintable():
        yield Finding(mark, f"the name of a {what} must not hold control characters", "remove them")
    if name and dialect and (plain := _kept(name, dialect, is_read_back=is_read_back)) != name:
        message = f"{dialect.name} does not keep the capitals of names, this {what} has some: {name!r}"
        yield Finding(mark, message, f"write {plain}")
    most = dialect.max_identifier_bytes if dialect else None
    if name and dialect and most and len(name.encode()) > most:
        yield Finding(
            mark,
            f"{dialect.name} takes names of at most {most} bytes, this {what} has {len(name.encode())}",
            "shorten it",
        )


def _kept(name: str, dialect: Dialect, *, is_read_back: bool) -> str:
    """What is left of a name: on an engine that has none of its capitals, and where ours are told by the catalog's."""
    if dialect.capitals is Capitals.LOWERED:
        return name.lower()
    return dialect.from_catalog(dialect.in_catalog(name)) if is_read_back else name


def twice(
    names: Iterable[tuple[str | None, Mark]], what: str, hint: str, *, fold: bool = True, exactly: bool = True
) -> Iterator[Finding]:
    """Names given before, in any capitals if `fold`; if not `exactly`, only those in other capitals."""
    seen: dict[str, tuple[str, Mark]] = {}
    for name, mark in names:
        if not name:
            continue
        first = seen.setdefault(name.lower() if fold else name, (name, mark))
        if first[1] != mark and (exactly or first[0] != name):
            yield Finding(mark, f"the {what} {name!r} is there already, on line {first[1].line}", hint)

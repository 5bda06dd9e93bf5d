"""Names an item that has attributes without a column, and where it lies, for who has to decide about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cdc_merge.errors import UnknownAttributes
from cdc_merge.feed import shape
from cdc_merge.feed.portions import Portion
from cdc_merge.feed.where import takes
from cdc_merge.feed.workbench import Bench
from cdc_merge.model import Source, Target


@contextmanager
def example(
    bench: Bench, portion: Portion, source: Source, object_key: Callable[[int], str], form: shape.Form = shape.CHANGE
) -> Iterator[None]:
    """Adds to UnknownAttributes one item of those that `chosen` names among `lines`, with its object and record."""
    try:
        yield
    except UnknownAttributes as error:
        target = next(t for t in source.targets if t.table == error.table)
        found = _find(bench, source.key, target, error.attributes, form)
        if found is None:
            raise
        line, key = found
        number, record, _ = portion.place(line)
        raise error.with_example(f"{key}, for one, in record {record} of {object_key(number)}") from None


def _find(
    bench: Bench, key: Sequence[str], target: Target, attributes: Sequence[str], form: shape.Form
) -> tuple[int, str] | None:
    """A line whose item the target takes and that has one of the attributes, and the item's key in words."""
    pointers = shape.Pointers(form)
    is_taken = takes(target, pointers.value)
    image = pointers.value(shape.NEW_IMAGE)
    if target.each is None:
        tests = [f"{pointers.value(shape.pointer((a,)))} IS NOT NULL" for a in attributes]
    else:  # of an element: that its name is somewhere in the item is near enough for an example
        tests = [f"contains({image}, {shape.literal(json.dumps(a, ensure_ascii=False) + ':')})" for a in attributes]
    words = ", ".join(
        f"coalesce({', '.join(pointers.value(f'{form.keys}/{shape.escape(a)}/{tag}') for tag in shape.KEY_TAGS)})"
        for a in key
    )
    rows = bench.rows(
        f"SELECT idx, {words} FROM (SELECT c.idx, json_extract_string(l.line, {pointers.as_list()}) AS v "
        f"FROM chosen AS c JOIN lines AS l ON l.idx = c.idx) WHERE {is_taken} AND ({' OR '.join(tests)}) LIMIT 1"
    )
    if not rows:
        return None
    line, *values = rows[0]
    return line, " ".join(f"{attribute}={value}" for attribute, value in zip(key, values, strict=True))

"""Says in which record attributes without a column are, for who has to decide about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from cdc_merge.errors import UnknownAttributes
from cdc_merge.feed import shape
from cdc_merge.feed.portions import Portion
from cdc_merge.feed.rows import RowStage
from cdc_merge.feed.where import takes
from cdc_merge.feed.workbench import Bench
from cdc_merge.model import Source, Target


def stage_or_locate(
    rows: RowStage,
    bench: Bench,
    portion: Portion,
    source: Source,
    object_key: Callable[[int], str],
    *,
    form: shape.Form = shape.CHANGE,
) -> None:
    """Stage the lines at hand.

    Raises UnknownAttributes with the object and the record of one of them, where `evolve: fail` stops.
    """
    try:
        rows.stage(bench, portion)
    except UnknownAttributes as error:
        target = next(t for t in source.targets if t.table == error.table)
        line = _find(bench, rows.lines, target, error.attributes, form)
        if line is None:
            raise
        number, record, _ = portion.place(line)
        raise error.found_in(f"record {record} of {object_key(number)}") from None


def _find(bench: Bench, lines: str, target: Target, attributes: Sequence[str], form: shape.Form) -> int | None:
    """A line whose item the target takes and that has one of the attributes."""
    pointers = shape.Pointers(form)
    is_taken = takes(target, pointers.value)
    image = pointers.value(shape.NEW_IMAGE)
    if target.each is None:
        tests = [f"{pointers.value(shape.pointer((a,)))} IS NOT NULL" for a in attributes]
    else:  # of an element: that its name is somewhere in the item is near enough
        tests = [f"contains({image}, {shape.literal(json.dumps(a, ensure_ascii=False) + ':')})" for a in attributes]
    # Set down first: a condition on them would be tried on all lines of the portion, and some may not be JSON.
    bench.execute(f"CREATE OR REPLACE TEMP TABLE suspected AS SELECT l.idx, l.line FROM {lines}")
    found = bench.rows(
        f"SELECT idx FROM (SELECT idx, json_extract_string(line, {pointers.as_list()}) AS v FROM suspected) "
        f"WHERE {is_taken} AND ({' OR '.join(tests)}) LIMIT 1"
    )
    return found[0][0] if found else None

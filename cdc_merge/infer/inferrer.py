"""Infers a configuration: look → sample → gather → count → decide → propose."""

from __future__ import annotations

import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from cdc_merge.config.places import DIALECTS, scheme, warehouse_url
from cdc_merge.config.values import Mistake
from cdc_merge.errors import CdcMergeError, ObjectChanged, UnreadableObject, UsageError
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.workbench import Workbench
from cdc_merge.infer.count import Attribute, Census, discriminator_candidates, key_candidates, passed_over
from cdc_merge.infer.entities import find_entities
from cdc_merge.infer.facts import Extent, KeyCandidate
from cdc_merge.infer.gather import Gatherer, no_records
from cdc_merge.infer.keys import KeyChoice, find_key, given_key, order_of
from cdc_merge.infer.naming import source_name
from cdc_merge.infer.place import Location, Readable, look
from cdc_merge.infer.proposal import Proposal, propose_tables
from cdc_merge.infer.sample import DEFAULT_RECORDS, Plan, cut_head, plan_sample, spread
from cdc_merge.infer.secrets import hide_secrets, with_environment
from cdc_merge.model import ObjectRef
from cdc_merge.scratch import scratch_folder
from cdc_merge.shortage import cure, more_than
from cdc_merge.words import count, listed

MEMORY = 1_000_000_000  # bytes, before the workbench spills to disk
_WORKBENCH_SHARE = 0.6  # of it, DuckDB's; the rest is for lines
_GROUP_BYTES = 96 * 1000**2  # as stored, of the objects that are read at once
_GROUP_OBJECTS = 500
_FETCH_THREADS = 8
_MOST_ATTRIBUTES = 100_000  # names; where there are more, they are data
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Progress = Callable[[str, int, int | None], None]
"""Told what is done, how much of it, and how much there is, if that is known."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for. `records` None: everything."""

    records: int | None = DEFAULT_RECORDS
    key: tuple[str, ...] | None = None
    warehouse: str = "duckdb:///warehouse.duckdb"
    name: str | None = None
    changes: str | None = None


_DEFAULT = Options()


def infer(
    path: str,
    options: Options = _DEFAULT,
    *,
    check: Callable[[], None] = lambda: None,
    progress: Progress = lambda _what, _done, _all: None,
) -> Proposal:
    """A proposal from what lies at a URL or a local path. `check` may raise to stop.

    Raises UsageError where there is nothing to propose from, Refused for an export that cannot be trusted.
    """
    try:
        dialect = DIALECTS[scheme(warehouse_url(with_environment(options.warehouse, os.environ))) or ""]
    except Mistake as error:
        raise UsageError(error.message, where="--warehouse", hint=error.hint) from error
    location = look(path, listed=lambda count: progress("listing", count, None))
    try:
        with Workbench(memory=int(MEMORY * _WORKBENCH_SHARE)) as workbench:
            gatherer = Gatherer(workbench, form=location.form, check=check)
            extent = _read(location, gatherer, options, check, progress)
            layout = gatherer.layout
            if layout is None or not extent.images:
                raise _nothing(location, extent)
            progress("counting", 0, None)
            census = Census(workbench, extent.images)
            attributes = census.attributes(all_items=not layout.key)
            if len(attributes) > _MOST_ATTRIBUTES:
                raise UsageError(
                    f"the items have {len(attributes):,} attributes: names that are data cannot become columns",
                    where=location.label,
                    hint="write the configuration by hand, with a column of type json",
                )
            key = _key(census, layout.key, options.key, location.label, attributes)
            check()
            candidates = discriminator_candidates(attributes, key.attributes)
            entities = find_entities(census.shapes(key.attributes, key.tags, candidates), key.attributes, candidates)
            if entities.discriminator is None and (why_not := passed_over(attributes, key.attributes)):
                entities = replace(entities, why=f"{entities.why}; {why_not}, so it does not tell")
            census.tell(entities.tables, key.attributes, key.tags)
            check()
            values = census.values(entities.tables, key.attributes)
            source = options.name or source_name(location.label, location.table, gatherer.tables)
            tables = propose_tables(
                entities,
                source=source,
                key=key.attributes,
                values=values,
                elements=census.elements(census.lists(values)),
                pieces=census.key_pieces(entities.tables, key.attributes),
                dialect=dialect,
            )
    except duckdb.OutOfMemoryException as error:
        raise CdcMergeError(
            f"counting takes {more_than(MEMORY, error)}",
            where=location.label,
            hint=cure(error, of_memory="read fewer records: --records 100000"),
        ) from error
    return Proposal(
        label=location.label,
        warehouse=hide_secrets(options.warehouse),
        source=source,
        changes=options.changes or location.changes,
        exports=location.exports,
        form=layout.form,
        extent=extent,
        key=key,
        entities=entities,
        tables=tables,
        tables_seen=tuple(sorted(gatherer.tables)),
    )


def _nothing(location: Location, extent: Extent) -> UsageError:
    if extent.keys_only:
        return UsageError(
            count(extent.records, "record has a key and no image", "records have keys and no images"),
            where=location.label,
            hint="a stream of changes needs the view type NEW_IMAGE or NEW_AND_OLD_IMAGES",
        )
    if extent.unreadable and not extent.records:
        reasons = ", ".join(f"{objects} {reason}" for reason, objects in sorted(extent.unreadable.items()))
        return UsageError(f"no object here can be read: {reasons}", where=location.label, hint="see docs/quarantine.md")
    return no_records(location.label)


def _key(
    census: Census, named: tuple[str, ...], wanted: tuple[str, ...] | None, label: str, attributes: Sequence[Attribute]
) -> KeyChoice:
    """The key that is asked for, that `Keys` name, or that is found."""
    if named and wanted and set(wanted) != set(named):
        raise UsageError(
            f"the records have the key {listed(named)}, not {listed(wanted)}",
            where="--key",
            hint="leave --key out, or say which of the two comes first",
        )
    if named:
        candidates = [_candidate(name, attributes) for name in named]
        return given_key(wanted, candidates) or order_of(candidates) if wanted else order_of(candidates)
    candidates = key_candidates(attributes, wanted, census.items)
    if wanted:
        found = given_key(wanted, candidates)
    else:
        found = find_key(candidates, items=census.items, is_unique=census.is_unique)
    if found is None:
        what = "not every item has these with one type" if wanted else "no one or two attributes are a key"
        raise UsageError(
            f"{what}: a key is in every item, of type S, N or B, and unique",
            where="--key" if wanted else label,
            hint="name the partition key, and the sort key if there is one: --key PK,SK",
        )
    return found


def _candidate(name: str, attributes: Sequence[Attribute]) -> KeyCandidate:
    """A key attribute that `Keys` names, with the type it has most often."""
    found = next((a for a in attributes if a.name == name), None)
    if found is None:
        return KeyCandidate(name, "S", 0)
    return KeyCandidate(name, max(found.tags, key=lambda tag: found.tags[tag]), found.distinct)


@dataclass(frozen=True)
class _Fetched:
    """An object in reach: a local file with all of it, or with its beginning; or why there is none."""

    source: Readable
    path: Path | None
    is_whole: bool
    problem: str | None = None


def _read(
    location: Location, gatherer: Gatherer, options: Options, check: Callable[[], None], progress: Progress
) -> Extent:
    plan = plan_sample(len(location.objects), records=options.records)
    objects = whole = 0
    problems: Counter[str] = Counter()
    with scratch_folder() as folder:
        for number, group in enumerate(_groups(location.objects, plan, lambda: gatherer.records, folder)):
            check()
            gatherer.take(
                [
                    LocalObject(i, ObjectRef(f.source.name, "", f.source.size, _EPOCH), f.path)
                    for i, f in enumerate(group)
                    if f.path is not None
                ]
            )
            objects += len(group)
            whole += sum(f.is_whole for f in group)
            problems.update(f.problem for f in group if f.problem)
            if plan.records is None:
                progress("reading", objects, len(location.objects))
            else:
                progress("sampling", min(gatherer.records, plan.records), plan.records)
            shutil.rmtree(folder / str(number), ignore_errors=True)
    images, keys_only = gatherer.finish()
    return Extent(
        objects=objects,
        objects_there=len(location.objects),
        whole=whole,
        records=gatherer.records,
        unusable=gatherer.unusable,
        images=images,
        keys_only=keys_only,
        unreadable=dict(problems + gatherer.unreadable),
    )


def _groups(objects: Sequence[Readable], plan: Plan, read: Callable[[], int], folder: Path) -> Iterator[list[_Fetched]]:
    """Objects in reach, in groups, each in a folder of its own below `folder`; the next ones while the last are read.

    A sample ends when `read`, the number of records, says that it has enough.
    """
    waiting = deque(objects if plan.records is None else spread(objects))
    number = 0
    with (
        ThreadPoolExecutor(_FETCH_THREADS, thread_name_prefix="fetch") as crew,
        ThreadPoolExecutor(1, thread_name_prefix="fetch-ahead") as ahead,
    ):

        def fetch(group: Sequence[Readable], number: int) -> list[_Fetched]:
            places = [folder / str(number) / str(i) for i in range(len(group))]
            return list(crew.map(lambda readable, place: _fetch(readable, plan, place), group, places))

        coming: Future[list[_Fetched]] | None = None
        while waiting or coming is not None:
            if coming is None:
                coming = ahead.submit(fetch, _take(waiting, plan, read()), number)
                number += 1
            group = coming.result()
            coming = None
            if plan.records is None and waiting:
                coming = ahead.submit(fetch, _take(waiting, plan, 0), number)
                number += 1
            yield group
            if plan.records is not None and read() >= plan.records:
                return


def _take(waiting: deque[Readable], plan: Plan, read: int) -> list[Readable]:
    """The next objects: as many as a sample still needs, or as are read at once."""
    most = _GROUP_OBJECTS
    if plan.records is not None and plan.of_each is not None:
        most = min(most, max(1, -(-(plan.records - read) // plan.of_each)))
    group = [waiting.popleft()]
    held = group[0].size
    while waiting and len(group) < most and held + waiting[0].size <= _GROUP_BYTES:
        held += waiting[0].size
        group.append(waiting.popleft())
    return group


def _fetch(readable: Readable, plan: Plan, place: Path) -> _Fetched:
    place.mkdir(parents=True)
    try:
        path = readable.fetch(place)
        if plan.of_each is None:
            return _Fetched(readable, path, is_whole=True)
        head = cut_head(path, plan.of_each, place / "head")
    except UnreadableObject as error:
        return _Fetched(readable, None, is_whole=True, problem=error.reason)
    except ObjectChanged:
        return _Fetched(readable, None, is_whole=True, problem="rewritten or removed meanwhile")
    if head != path and path.parent == place:
        path.unlink()
    return _Fetched(readable, head, is_whole=head == path)

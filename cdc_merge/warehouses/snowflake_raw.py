"""Loads raw objects into a VARIANT column by COPY INTO, and finds out how many documents each had."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cdc_merge.errors import WarehouseRefused
from cdc_merge.warehouses import Row
from cdc_merge.warehouses.raw import Loaded, Packing, RawObject
from cdc_merge.warehouses.snowflake_dialect import SNOWFLAKE
from cdc_merge.warehouses.snowflake_files import MOST_FILES
from cdc_merge.warehouses.snowflake_url import Feed

_MOST_NAMES = 500_000  # bytes of one statement's list: https://docs.snowflake.com/en/user-guide/query-size-limits

# https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#type-json
# What a stage of a person's says otherwise does not count then: an error is an error, nothing is left out or put in the
# place of something else, and a mark of the byte order is no JSON.
_FORMAT = (
    "TYPE = JSON COMPRESSION = {compression} ENABLE_OCTAL = FALSE ALLOW_DUPLICATE = FALSE STRIP_OUTER_ARRAY = FALSE "
    "STRIP_NULL_VALUES = FALSE REPLACE_INVALID_CHARACTERS = FALSE SKIP_BYTE_ORDER_MARK = FALSE"
)
_COMPRESSIONS = {Packing.NONE: "NONE", Packing.GZIP: "GZIP"}
# FORCE: a new table has no load history, but what COPY then makes of objects older than 64 days is not to be asked.
# https://docs.snowflake.com/en/user-guide/data-load-considerations-load#loading-older-files
# PURGE would remove the feed's objects.
_OPTIONS = "ON_ERROR = ABORT_STATEMENT\nFORCE = TRUE\nPURGE = FALSE\nRETURN_FAILED_ONLY = FALSE"


def load_raw(
    feeds: Sequence[Feed],
    table: str,
    objects: Sequence[RawObject],
    *,
    execute: Callable[[str], None],
    fetch: Callable[[str], list[Row]],
) -> Loaded:
    """As `LoadsRaw.load_raw`. `table`: quoted."""
    label = f"load {table}"
    feed = _covering(feeds, objects, label)
    _insist_on_place(feed, fetch, label)
    execute(f"CREATE OR REPLACE TEMPORARY TABLE {table} (document VARIANT, file_name VARCHAR, content_key VARCHAR)")
    loaded = 0
    for some in _portions(objects, feed):
        rows = fetch(_copy(table, feed, some))
        # file, status, rows_parsed, rows_loaded, …: all of each file, or something is the matter.
        if len(rows) != len(some) or any(str(row[1]).upper() != "LOADED" or row[2] != row[3] for row in rows):
            raise WarehouseRefused(f"COPY has not loaded all of {len(some)} files", where=label)
        loaded += sum(int(row[3]) for row in rows)
    # https://docs.snowflake.com/en/user-guide/querying-metadata
    found = fetch(f"SELECT file_name, content_key, count(*) FROM {table} GROUP BY file_name, content_key")
    if sum(int(count) for _, _, count in found) != loaded:
        raise WarehouseRefused("COPY tells of other rows than there are", where=label)
    return _counted(objects, feed, found, label)


def _covering(feeds: Sequence[Feed], objects: Sequence[RawObject], label: str) -> Feed:
    """The stage nearest to the objects."""
    covering = [feed for feed in feeds if all(o.url.startswith(feed.url) for o in objects)]
    if not covering:
        raise WarehouseRefused("no stage of the URL covers the objects", where=label, hint="see docs/snowflake.md")
    return max(covering, key=lambda feed: len(feed.url))


def _insist_on_place(feed: Feed, fetch: Callable[[str], list[Row]], label: str) -> None:
    """That the stage is where the URL says: in a copy of the bucket files have the same names, and other records.

    https://docs.snowflake.com/en/sql-reference/functions/get_stage_location ; of a quoted name it wants a text.
    """
    stage = SNOWFLAKE.literal(f"@{feed.stage}") if '"' in feed.stage else f"@{feed.stage}"
    [(place,)] = fetch(f"SELECT GET_STAGE_LOCATION({stage})")
    if str(place).rstrip("/") != feed.url.rstrip("/"):
        raise WarehouseRefused(
            f"the stage {feed.stage} is at {place}, the URL says {feed.url}", where=label, hint="see docs/snowflake.md"
        )


def _portions(objects: Sequence[RawObject], feed: Feed) -> Iterator[list[RawObject]]:
    """The objects of one COPY: of one packing, and no more than a statement takes."""
    for packing in Packing:
        some, size = list[RawObject](), 0
        for one in objects:
            if one.packing is not packing:
                continue
            bytes_of_name = len(feed.below(one.url).encode()) + 4
            if some and (len(some) == MOST_FILES or size + bytes_of_name > _MOST_NAMES):
                yield some
                some, size = [], 0
            some.append(one)
            size += bytes_of_name
        if some:
            yield some


def _copy(table: str, feed: Feed, objects: Sequence[RawObject]) -> str:
    """https://docs.snowflake.com/en/sql-reference/sql/copy-into-table ; a file that is not there is an error."""
    names = [SNOWFLAKE.literal(feed.below(o.url)) for o in objects]
    if any(name.startswith("(") for name in names):
        raise WarehouseRefused(
            "an object's name has a backslash, which no list of files can have", where=f"load {table}"
        )
    form = _FORMAT.format(compression=_COMPRESSIONS[objects[0].packing])
    return (
        f"COPY INTO {table} (document, file_name, content_key)\n"
        f"FROM (SELECT $1, METADATA$FILENAME, METADATA$FILE_CONTENT_KEY FROM @{feed.stage})\n"
        f"FILES = ({', '.join(names)})\n"
        f"FILE_FORMAT = ({form})\n"
        f"{_OPTIONS}"
    )


def _counted(objects: Sequence[RawObject], feed: Feed, rows: Sequence[Row], label: str) -> Loaded:
    """The documents of each object.

    The name of a file is its "full path", whatever that begins with; what it begins with is the same for all. That its
    checksum is S3's ETag no page says, so an object whose ETag is another is only not proven.
    """
    told = {str(name) for name, _, _ in rows}
    begins = dict.fromkeys(("", feed.prefix, f"{feed.bucket}/{feed.prefix}", feed.url))
    fitting = [named for begin in begins if told <= (named := {begin + feed.below(o.url): o for o in objects}).keys()]
    if not fitting:
        raise WarehouseRefused(f"COPY tells of files that it was not asked for: {min(told)}", where=label)
    named, *others = fitting
    if any(other[name] != named[name] for other in others for name in told):
        raise WarehouseRefused(f"which object COPY calls {min(told)} cannot be told", where=label)
    documents = dict.fromkeys((o.url for o in objects), 0)
    proven = set[str]()
    for name, key, count in rows:
        one = named[str(name)]
        if documents[one.url]:
            raise WarehouseRefused(f"COPY has read two versions of {one.url}", where=label)
        documents[one.url] = int(count)
        if str(key).strip('"') == one.etag:
            proven.add(one.url)
    return Loaded(documents, frozenset(documents.keys() - proven))


__all__ = ["load_raw"]

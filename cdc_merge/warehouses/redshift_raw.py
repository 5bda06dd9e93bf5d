"""Loads raw objects into a SUPER column by COPY, and finds out how many documents each had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdc_merge.errors import WarehouseRefused
from cdc_merge.warehouses import Row
from cdc_merge.warehouses.raw import Loaded, Packing, RawObject
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.redshift_link import RedshiftLink
from cdc_merge.warehouses.redshift_staging import Stage

# COPY takes seconds for any size, so only where they are large anyhow is each object loaded alone.
MOST_ALONE = 16

# https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-file-compression.html
_UNPACKED = {Packing.NONE: "", Packing.GZIP: "\nGZIP"}

# What COPY scanned: https://docs.aws.amazon.com/redshift/latest/dg/SYS_LOAD_DETAIL.html
_DETAIL = (
    "SELECT file_name, sum(lines_scanned), min(file_etag), max(file_etag) "
    "FROM sys_load_detail WHERE query_id = pg_last_copy_id() GROUP BY file_name"
)


def load_raw(
    link: RedshiftLink, stage: Stage, iam_role: str | None, table: str, objects: Sequence[RawObject]
) -> Loaded | None:
    """As `LoadsRaw.load_raw`."""
    copy = _Copy(link, stage, iam_role, table)
    copy.make()
    counts: dict[str, int] = {}
    for packing in Packing:
        mine = [o for o in objects if o.packing is packing]
        if not mine:
            continue
        found = copy.load(mine)
        if found is None:
            each = copy.load_each(objects) if len(objects) <= MOST_ALONE else None
            return None if each is None else Loaded(each)
        counts |= found
    return Loaded(counts)


class _Copy:
    """Fills one table."""

    def __init__(self, link: RedshiftLink, stage: Stage, iam_role: str | None, table: str) -> None:
        self._link = link
        self._stage = stage
        self._role = "default" if iam_role is None else REDSHIFT.literal(iam_role)
        self._table = REDSHIFT.quote(table)
        self._label = f"load {table}"

    def make(self) -> None:
        create = f"CREATE TEMPORARY TABLE {self._table} (document SUPER)"
        self._link.execute_all([f"DROP TABLE IF EXISTS {self._table}", create], self._label)

    def load_each(self, objects: Sequence[RawObject]) -> Mapping[str, int] | None:
        """One after the other, where documents have no lines of their own: then the rows loaded are an object's."""
        self.make()
        counts: dict[str, int] = {}
        for one in objects:
            found = self.load([one])
            if found is None:
                return None
            counts |= found
        return counts

    def load(self, objects: Sequence[RawObject]) -> Mapping[str, int] | None:
        """The documents of each object, by URL. All are of one packing."""
        with self._stage.put_manifest([o.url for o in objects]) as manifest:
            # No error is passed over: https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-load.html
            copy = (
                f"COPY {self._table}\nFROM {REDSHIFT.literal(manifest)}\nIAM_ROLE {self._role}\n"
                f"FORMAT AS JSON 'noshred'{_UNPACKED[objects[0].packing]}\nMANIFEST\nMAXERROR 0"
            )
            self._link.execute_all([copy], self._label)
            [(loaded,)] = self._link.query("SELECT pg_last_copy_count()", self._label)
            lines = self._scanned(objects, self._link.query(_DETAIL, self._label))
        if len(objects) == 1:
            return {objects[0].url: int(loaded)}
        # Each document has a line of its own if there are as many lines as rows.
        return lines if sum(lines.values()) == int(loaded) else None

    def _scanned(self, objects: Sequence[RawObject], rows: Sequence[Row]) -> dict[str, int]:
        """The lines of each object, by URL. Raises WarehouseRefused for an object that is not the version listed."""
        # The documentation's examples have names with the bucket, and without.
        named = {name: o for o in objects for name in (o.url, o.url.split("/", 3)[3])}
        found = dict.fromkeys((o.url for o in objects), 0)
        etags: dict[str, set[str]] = {}
        for name, lines, *tags in rows:
            if (one := named.get(name.rstrip())) is None:
                raise WarehouseRefused(f"COPY read another file: {name.rstrip()}", where=self._label)
            found[one.url] += int(lines)
            etags.setdefault(one.url, set()).update(str(tag).strip().strip('"') for tag in tags)
        for one in objects:
            if one.url not in etags:
                raise WarehouseRefused(f"SYS_LOAD_DETAIL does not tell of {one.url}", where=self._label)
            if etags[one.url] != {one.etag}:
                raise WarehouseRefused(f"COPY has not read the version that was listed of {one.url}", where=self._label)
        return found


__all__ = ["MOST_ALONE", "load_raw"]

"""What an engine can do and how it says things, as data: one record per engine, each fact with its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from cdc_merge.model import ColumnType, Kind


@dataclass(frozen=True)
class Limit:
    """Something that an engine cannot do, or does otherwise. `link`: the vendor's page."""

    words: str
    link: str


class Capitals(Enum):
    """What becomes of capitals in a quoted name. But for KEPT, names that differ by capitals alone are one name."""

    KEPT = "kept"
    IGNORED = "ignored"  # they are kept as given, and a name is found by any
    LOWERED = "lowered"
    RAISED = "raised"  # names that people do not quote are in capitals in the catalog, so we write ours so, too


class RawLoading(Enum):
    """Whether an engine loads and decodes a feed's objects itself (`load: warehouse`)."""

    NONE = "none"  # it is no use: the worker's decoder is in the process, or the engine reads nothing from S3
    BY_COPY = "by copy"


_AMONG = "{address} IN ({query})"


@dataclass(frozen=True)
class Dialect:
    """Facts of one engine.

    `types`: SQL name of each kind (numeric without precision = the widest exact decimal).
    `metadata_json`: the type that keeps JSON text exactly as written.
    `byte_order`: appended to a text column's type so that it compares byte by byte.
    `as_bytes`: a text column ({}), compared so whatever somebody made of its order since, where the engine lets them.
    `decimal_digits`, `decimal_scale`: what the widest exact decimal holds; None = anything DynamoDB has.
    `max_key_bytes`: what partition and sort key may take together (UTF-8) before an index refuses them.
    `holds_nul`: whether text may contain U+0000; `rescues_nul`: whether _cdc_rescued may.
    `nul_hidden`: JSON as text ({}) that the engine's functions take, whatever it says; `nul_shown`: the same as before.
    `forms`: whose templates it reads where a statement has several (`render.py`), the most particular first.
    `row_address`: the pseudo column that names a stored row within one transaction; None: rows are found by their key.
    `enforces_keys`: whether a primary key in the metadata refuses a second row; else inserts look first, under a lock.
    `has_upsert`: whether INSERT has ON CONFLICT.
    `lock_table`: a statement that keeps every other transaction from a table ({}), before this one has seen anything;
        None: an update of the lease's row holds back the merges of its source.
    `indexes_key`: whether tables get a primary key (a fast index for point look-ups, not for scans).
    `take_turns`: a statement after which transactions that give the same text ({}) wait for each other;
        None: a transaction that loses a conflict fails at once.
    `count_where`: how many rows meet a condition ({}).
    `greatest`: the function of the greatest of several values, which passes over NULL.
    `now`: the moment, as a timestamp. `later`: a {moment} and an {amount} of a {unit}.
    `same`: whether two values ({a}, {b}) are equal or both NULL; never NULL. `same_text`: the same, of two texts.
    `read_json`: a text of JSON ({value}) as a json {type}. `written_json`: a json value ({value}) as {text}.
    `binary_as_text`: a readable text ({text}) of a binary value ({value}).
    `schema_exists`: a query that has a row if there is a schema of the name {name}, a literal.
    `sample`: a query of the {keys} of so many ({count}) rows of a {table} at random, where rows have no address.
    `sha256`: the digest of a text, {}, in hexadecimal.
    `stages_decimals`: whether the bulk path takes decimals; else they are staged as text and cast in SQL.
    `backslash`: a backslash in a text, where a literal may take it for an escape; None: it stands for itself.
    `is_utf8`: whether texts are kept in UTF-8 in every database, so that their bytes are in the order of characters.
    `prunes_by_literals`: whether only literals in a statement keep a look-up of many keys to a batch's range of them.
    `places_rows`: whether a table says by which columns its rows are distributed and sorted.
    `clusters`: tables that are clustered by the partition key when they are made, as the warehouse's URL says, each
        with the character from which on its value tells rows apart.
    `capitals`: what becomes of capitals in the names of schemas, tables and columns that are quoted.
    `max_text_bytes`, `max_binary_bytes`: the longest value of a column (UTF-8); None: no limit.
    `ignores_trailing_blanks`: whether texts that differ in blanks at their end are equal, so that keys must have none.
    `max_added_columns`: how many columns new attributes may add; more go to _cdc_rescued.
    `analyze_staging`: whether the planner needs ANALYZE after a staging table is loaded.
    `own_samples`: lets ANALYZE, to the transaction's end, take samples as large as whoever runs the engine wants them.
    `one_moment`: a transaction's first statement that makes all that follow see the same moment; None: they do anyhow.
    `row_hash`: a hash of 64 bits of any number of values ({}), equal for equal values; None: comparing whole rows at
        once costs no more.
    `holds_deletes`: whether deleted rows take memory until the commit, so that they had better be the last to be done.
    `is_among`: whether an {address} is one of those that a {query} gives: how the rows of many are found at once.
        `most_listed`: of how many at most; of more, by a join.
    `rows_move`: whether an update that another transaction commits meanwhile gives a row another `row_address`.
    `row_slots`: a query of how many pages a table has (`{table}`, or its name as a literal, `{literal}`), and of how
        many places for rows each has; many may be empty.
    `slot_address`: the `row_address` of a place, numbered from 1, on a page, numbered from 0.
    `same_rescued`: whether _cdc_rescued ({column}, as text {a}) says the same as a staged text ({b}); never NULL.
        An attribute that is DynamoDB's NULL is as good as none, where the engine can tell.
    `same_json`: whether two values ({a}, {b}) of the json type are equal, whatever the order of keys and the spelling
        of numbers; never NULL.
    `widens_decimals`: whether a decimal column can take more digits before the point without its rows being rewritten.
    `widened`: precisions of decimals that hold fewer digits than they say, each with one that holds them.
    `ddl_commits`: whether DDL commits the open transaction, so that it goes before it and can be said twice.
    `copies_dynamodb`: whether it reads a DynamoDB table by itself (`CopiesDynamoDB` in __init__.py).
    `raw_loading`: whether it loads and decodes raw objects itself. `raw_places`: below which URLs, as the warehouse's
        own says; None: anywhere on S3.
    `limits`: what the engine cannot do, each in words with the vendor's page: `cdc-merge check` shows them.
    """

    name: str
    sqlglot: str
    default_schema: str
    types: dict[Kind, str] = field(hash=False)
    metadata_json: str = "json"
    byte_order: str = ""
    as_bytes: str = "{}"
    decimal_digits: int | None = None
    decimal_scale: int | None = None
    max_key_bytes: int | None = None
    max_identifier_bytes: int | None = None
    reserved_columns: frozenset[str] = frozenset()
    holds_nul: bool = True
    rescues_nul: bool = True
    nul_hidden: str = "{}"
    nul_shown: str = "{}"
    forms: tuple[str, ...] = ()
    row_address: str | None = "rowid"
    enforces_keys: bool = True
    has_upsert: bool = True
    lock_table: str | None = None
    count_where: str = "count(*) FILTER (WHERE {})"
    greatest: str = "greatest"
    now: str = "CURRENT_TIMESTAMP"
    later: str = "{moment} + INTERVAL '{amount} {unit}'"
    same: str = "({a} IS NOT DISTINCT FROM {b})"
    same_text: str = "({a} IS NOT DISTINCT FROM {b})"
    read_json: str = "CAST({value} AS {type})"
    written_json: str = "CAST({value} AS {text})"
    binary_as_text: str = "CAST({value} AS {text})"
    schema_exists: str = (
        "SELECT 1 FROM information_schema.schemata WHERE schema_name = {name} AND catalog_name = current_database()"
    )
    sample: str = "SELECT {keys} FROM {table} ORDER BY random() LIMIT {count}"
    analyze_staging: bool = False
    own_samples: str | None = None
    decode_base64: str = "from_base64({})"
    indexes_key: bool = False
    sha256: str = "sha256({})"
    stages_decimals: bool = True
    backslash: str | None = None
    places_rows: bool = False
    is_utf8: bool = True
    prunes_by_literals: bool = False
    clusters: tuple[tuple[str, int], ...] = ()
    capitals: Capitals = Capitals.KEPT
    max_text_bytes: int | None = None
    max_binary_bytes: int | None = None
    ignores_trailing_blanks: bool = False
    max_added_columns: int = 1000
    take_turns: str | None = None
    one_moment: str | None = None
    row_hash: str | None = None
    holds_deletes: bool = False
    is_among: str = _AMONG
    most_listed: int | None = None
    rows_move: bool = False
    same_rescued: str = "({a} IS NOT DISTINCT FROM {b})"
    row_slots: str = "SELECT coalesce(max(rowid) + 1, 0), 1 FROM {table}"
    slot_address: str = "{page}"
    same_json: str = "({a} IS NOT DISTINCT FROM {b})"
    widens_decimals: bool = False
    widened: dict[int, int] = field(default_factory=dict, hash=False)
    ddl_commits: bool = False
    copies_dynamodb: bool = False
    raw_loading: RawLoading = RawLoading.NONE
    raw_places: tuple[str, ...] | None = None
    limits: tuple[Limit, ...] = ()

    def quote(self, *parts: str) -> str:
        """A quoted, possibly qualified identifier."""
        return ".".join('"' + self.in_catalog(part).replace('"', '""') + '"' for part in parts)

    def literal(self, text: str) -> str:
        """A quoted text literal, or an expression of several."""
        if self.backslash and text.count("\\") > _MOST_PIECES:
            # An expression of thousands of pieces would nest too deep to be read.
            stand_in = next(c for c in map(chr, range(0xE000, 0xF8FF)) if c not in text)
            return f"REPLACE({_quoted(text.replace(chr(92), stand_in))}, '{stand_in}', {self.backslash})"
        if self.backslash and "\\" in text:
            return "(" + f" || {self.backslash} || ".join(map(_quoted, text.split("\\"))) + ")"
        return _quoted(text)

    def clusters_from(self, table: str) -> int | None:
        """From which character on a table's partition key clusters it; None: it is not clustered."""
        return dict(self.clusters).get(table)

    def in_catalog(self, name: str) -> str:
        """A name of ours as the catalog has it. Only ASCII letters have their case changed: no two names meet."""
        return name.translate(_TO_UPPER) if self.capitals is Capitals.RAISED else name

    def from_catalog(self, name: str) -> str:
        """A name of the catalog as we have it."""
        return name.translate(_TO_LOWER) if self.capitals is Capitals.RAISED else name

    def folded(self, name: str) -> str:
        """What names have in common that the engine takes for one."""
        return name if self.capitals is Capitals.KEPT else name.translate(_TO_LOWER)

    def read_rescued(self, value: str) -> str:
        """A text of _cdc_rescued as its column takes it."""
        if self.metadata_json == self.types[Kind.TEXT]:
            return value
        return self.read_json.format(value=value, type=self.metadata_json)

    def written_rescued(self, value: str) -> str:
        """A value of the column _cdc_rescued as text."""
        text = self.types[Kind.TEXT]
        return value if self.metadata_json == text else self.written_json.format(value=value, text=text)

    def among(self, *, address: str, query: str, rows: int) -> str:
        """Whether an address is one of so many that a query gives."""
        is_long = self.most_listed is not None and rows > self.most_listed
        return (_AMONG if is_long else self.is_among).format(address=address, query=query)

    def widens(self, have: ColumnType, wanted: ColumnType) -> bool:
        """Whether a column of one type becomes one of the other at no cost: it holds all that it held, and more."""
        if not self.widens_decimals or {have.kind, wanted.kind} != {Kind.NUMERIC} or have.precision is None:
            return False
        if wanted.precision is None:
            return self.decimal_digits is None
        return (wanted.scale or 0) == (have.scale or 0) and wanted.precision > have.precision

    def type_name(self, column_type: ColumnType) -> str:
        """The SQL type of a column."""
        if column_type.kind is Kind.NUMERIC and column_type.precision is not None:
            precision = self.widened.get(column_type.precision, column_type.precision)
            return f"NUMERIC({precision}, {column_type.scale or 0})"
        return self.types[column_type.kind]


_MOST_PIECES = 50  # of one text
_TO_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TO_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# DuckDB: https://duckdb.org/docs/stable/sql/data_types/overview
# rowid: https://duckdb.org/docs/stable/sql/statements/select#row-ids
DUCKDB = Dialect(
    name="duckdb",
    sqlglot="duckdb",
    forms=("duckdb",),
    default_schema="main",
    types={
        Kind.TEXT: "VARCHAR",
        Kind.INTEGER: "BIGINT",
        # 20 whole digits hold every 64-bit id; 18 decimals hold money and rates. What does not fit is rescued.
        # https://duckdb.org/docs/stable/sql/data_types/numeric#fixed-point-decimals
        Kind.NUMERIC: "DECIMAL(38, 18)",
        Kind.DOUBLE: "DOUBLE",
        Kind.BOOLEAN: "BOOLEAN",
        Kind.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
        Kind.DATE: "DATE",
        Kind.JSON: "JSON",
        Kind.BINARY: "BLOB",
    },
    metadata_json="JSON",
    # https://duckdb.org/docs/stable/sql/functions/utility#hashvalue
    row_hash="hash({})",
    # 16 KB for each 2,048 rows with one that was deleted, as measured with `duckdb_memory()`: 220 MB where 20,000 of 30
    # million rows were, which an INSERT after that has no use of. https://duckdb.org/docs/stable/internals/vector
    holds_deletes=True,
    # A function of the session (warehouses/duckdb.py), asked only where the texts differ.
    same_rescued="CASE WHEN {a} IS NOT DISTINCT FROM {b} THEN TRUE "
    "ELSE same_rescued(coalesce({a}, '{{}}'), coalesce({b}, '{{}}')) END",
    same_json="CASE WHEN {a} IS NOT DISTINCT FROM {b} THEN TRUE ELSE coalesce(same_json({a}, {b}), FALSE) END",
    decimal_digits=38,
    decimal_scale=18,
    # https://duckdb.org/docs/stable/sql/dialect/keywords_and_identifiers#case-sensitivity-of-identifiers
    capitals=Capitals.IGNORED,
    reserved_columns=frozenset({"rowid"}),
)

# Postgres: https://www.postgresql.org/docs/current/datatype.html
# No function of Postgres that reads JSON takes the escape of U+0000, so that of U+0001 and a letter stands for each.
# https://www.postgresql.org/docs/current/datatype-json.html
_NUL_HIDDEN = r"replace(replace({}, '\u0001', '\u0001s'), '\u0000', '\u0001n')"
_NUL_SHOWN = r"replace(replace({}, '\u0001n', '\u0000'), '\u0001s', '\u0001')"

POSTGRES = Dialect(
    name="postgres",
    sqlglot="postgres",
    forms=("postgres",),
    default_schema="public",
    types={
        Kind.TEXT: "text",
        Kind.INTEGER: "bigint",
        # Without precision: up to 131,072 digits before the point, which holds all DynamoDB has.
        # https://www.postgresql.org/docs/current/datatype-numeric.html
        Kind.NUMERIC: "numeric",
        Kind.DOUBLE: "double precision",
        Kind.BOOLEAN: "boolean",
        Kind.TIMESTAMP: "timestamp with time zone",
        Kind.DATE: "date",
        Kind.JSON: "jsonb",
        Kind.BINARY: "bytea",
    },
    # json keeps the text as it was sent, \u0000 included; jsonb refuses that.
    # https://www.postgresql.org/docs/current/datatype-json.html
    metadata_json="json",
    byte_order='COLLATE "C"',
    as_bytes='{} COLLATE "C"',
    # A btree entry takes at most 2,704 bytes: https://www.postgresql.org/docs/current/btree.html
    max_key_bytes=2600,
    max_identifier_bytes=63,
    # https://www.postgresql.org/docs/current/ddl-system-columns.html
    reserved_columns=frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}),
    holds_nul=False,
    row_address="ctid",
    # An array is sorted, and the pages are read in its order, each row at its place. A join reads the whole table where
    # there are many rows. https://www.postgresql.org/docs/current/functions-comparisons.html#FUNCTIONS-COMPARISONS-ANY-SOME
    is_among="{address} = ANY (ARRAY({query}))",
    # Each takes 32 bytes while the array is made, whatever work_mem says, and 2**26 are the most that an array takes.
    # https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/utils/adt/arrayfuncs.c (accumArrayResult)
    most_listed=4_000_000,
    # Each statement sees what is committed by then: https://www.postgresql.org/docs/current/transaction-iso.html
    rows_move=True,
    # A page has a header of 24 bytes, and for each row a line pointer of 4 and a row header of 23, aligned to 8.
    # https://www.postgresql.org/docs/current/storage-page-layout.html
    row_slots="SELECT pg_relation_size(CAST({literal} AS regclass)) / page.size, (page.size - 24) / 28 "
    "FROM (SELECT CAST(current_setting('block_size') AS bigint) AS size) AS page",
    slot_address="'({page},{slot})'",
    # Autovacuum cannot see temporary tables: https://www.postgresql.org/docs/current/routine-vacuuming.html
    analyze_staging=True,
    # Sessions have smaller ones: warehouses/postgres.py
    own_samples="SET LOCAL default_statistics_target TO DEFAULT",
    decode_base64="decode({}, 'base64')",
    indexes_key=True,
    # From a join alone the planner does not learn that the keys lie side by side, and reads the whole table for many.
    # https://www.postgresql.org/docs/current/planner-stats.html
    prunes_by_literals=True,
    # https://www.postgresql.org/docs/current/multibyte.html#MULTIBYTE-CHARSET-SUPPORTED
    is_utf8=False,
    stages_decimals=False,
    # https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
    one_moment="SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    # A name is spelled as JSON, so that no two attributes read like one whose name has an end of line.
    nul_hidden=_NUL_HIDDEN,
    nul_shown=_NUL_SHOWN,
    same_rescued="CASE WHEN {a} IS NOT DISTINCT FROM {b} THEN TRUE ELSE "
    + " = ".join(
        'coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") '
        f"FROM json_each(CAST({_NUL_HIDDEN.format(f'{{{side}}}')} AS json)) AS e "
        "WHERE CAST(e.value AS text) <> '{{\"NULL\":true}}'), '')"
        for side in "ab"
    )
    + " END",
    # https://www.postgresql.org/docs/current/functions-binarystring.html
    sha256="encode(sha256(convert_to({}, 'UTF8')), 'hex')",
    # Only the declaration changes: https://www.postgresql.org/docs/release/9.2.0/ (E.24.3.4.2, ALTER TABLE)
    widens_decimals=True,
    # A row must fit a page of 8 kB, some 20 bytes for each value that is stored elsewhere.
    # https://www.postgresql.org/docs/current/limits.html
    max_added_columns=300,
    # https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADVISORY-LOCKS
    take_turns="SELECT pg_advisory_xact_lock(hashtextextended({}, 0))",
)

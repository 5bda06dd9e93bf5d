"""cdc-merge.yaml: what it may say, what that means, and how every mistake is reported at its place."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import cdc_merge.config
from cdc_merge.config import find_config, json_schema, load_config, values
from cdc_merge.errors import ConfigError, UsageError
from cdc_merge.model import (
    BatchLimits,
    Column,
    ColumnType,
    Condition,
    Evolve,
    Kind,
    Load,
    Ordering,
    Target,
    TimeUnit,
)
from cdc_merge.warehouses.engines import ENGINES, Engine
from tests.support.config import MINIMAL, Loader, in_target

DOCS = Path(__file__).parent.parent / "docs" / "configuration.md"


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    return Loader(tmp_path)


# --- what a whole file means --------------------------------------------------------------------------


def test_a_small_file_has_the_documented_defaults(load: Loader, tmp_path: Path) -> None:
    settings = load(MINIMAL)
    assert settings.warehouse == f"duckdb:///{tmp_path}/warehouse.duckdb"
    assert settings.schema is None and settings.metadata_schema == "cdc_merge"
    (source,) = settings.sources
    assert source.changes == f"file://{tmp_path}/feed"
    assert source.key == ("PK",) and source.ordering is None
    assert (source.poll, source.memory) == (5.0, 10**9)
    assert source.batch == BatchLimits(bytes=512_000_000, objects=1000)
    assert source.targets == (Target("shop", evolve=Evolve.ADD),)


def test_the_full_target_of_the_contract_loads(load: Loader) -> None:
    target = load.target("""
where: {Type: Customer}
columns:
  username: Username
  email: {from: Email address, type: text}
  city:  {from: Address.City}
  spent: {from: TotalSpent, type: "numeric(12,2)"}
  seen: {from: Seen, type: timestamp, unit: ms}
  addresses: {from: Addresses, type: json}
deletes: hard
expired: delete
""")
    assert target.where == (Condition(("Type",), any_of=("Customer",)),)
    assert target.evolve is Evolve.FREEZE
    assert target.columns == (
        Column("username", ("Username",)),
        Column("email", ("Email address",), ColumnType(Kind.TEXT)),
        Column("city", ("Address", "City")),
        Column("spent", ("TotalSpent",), ColumnType(Kind.NUMERIC, 12, 2)),
        Column("seen", ("Seen",), ColumnType(Kind.TIMESTAMP, unit=TimeUnit.MILLISECONDS)),
        Column("addresses", ("Addresses",), ColumnType(Kind.JSON)),
    )


def test_a_source_takes_the_defaults_it_does_not_repeat(load: Loader) -> None:
    settings = load("""\
warehouse: duckdb:///w.duckdb
defaults: {poll: 500ms, batch: {bytes: 64MiB, objects: 7}, memory: 2GB, load: worker}
sources:
  - {name: a, changes: a, key: [PK]}
  - {name: b, changes: b, key: [PK], poll: 2m, batch: {objects: 9}, memory: 1GiB, ordering: time}
""")
    a, b = settings.sources
    assert (a.poll, a.batch, a.memory) == (0.5, BatchLimits(64 * 1024**2, 7), 2 * 10**9)
    assert (b.poll, b.batch, b.memory) == (120.0, BatchLimits(64 * 1024**2, 9), 1024**3)
    assert b.ordering is Ordering.TIME


def test_without_targets_the_table_is_named_after_the_source_in_snake_case(load: Loader) -> None:
    assert load(MINIMAL.replace("shop", "WebShop EU")).sources[0].targets == (Target("web_shop_eu"),)


@pytest.mark.parametrize(
    ("lines", "evolve"),
    [
        ("where: {}", Evolve.ADD),
        ("columns: {a: A}", Evolve.FREEZE),
        ("columns: {}", Evolve.FREEZE),
        ("columns: {a: A}\nevolve: add", Evolve.ADD),
        ("evolve: fail", Evolve.FAIL),
    ],
)
def test_new_attributes_become_columns_unless_columns_are_named(load: Loader, lines: str, evolve: Evolve) -> None:
    assert load.target(lines).evolve is evolve


@pytest.mark.parametrize(
    ("written", "condition"),
    [
        ("Type: Order", Condition(("Type",), any_of=("Order",))),
        ("Type: [Order, 2, 1.5, true]", Condition(("Type",), any_of=("Order", 2, 1.5, True))),
        ("Day: 2026-11-24", Condition(("Day",), any_of=("2026-11-24",))),
        ("on: yes", Condition(("on",), any_of=("yes",))),
        ("hex: 0x1F", Condition(("hex",), any_of=(31,))),
        ("big: 1_000", Condition(("big",), any_of=(1000,))),
        ("1: 2", Condition(("1",), any_of=(2,))),
        ('PK: {prefix: "ORDER#"}', Condition(("PK",), prefix="ORDER#")),
        ("A: {exists: true}", Condition(("A",), exists=True)),
        ("A.b[0]: {exists: false}", Condition(("A", "b", 0), exists=False)),
    ],
)
def test_where_has_four_forms(load: Loader, written: str, condition: Condition) -> None:
    assert load.target(f"where:\n  {written}").where == (condition,)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("duckdb:///w.duckdb", "duckdb:///{base}/w.duckdb"),
        ("duckdb:///./data/w.duckdb", "duckdb:///{base}/data/w.duckdb"),
        ("duckdb:////var/w.duckdb", "duckdb:////var/w.duckdb"),
        ("duckdb:///w.duckdb?threads=4", "duckdb:///{base}/w.duckdb?threads=4"),
        ("postgresql://u:p@h:5432/d?sslmode=require", "postgresql://u:p@h:5432/d?sslmode=require"),
    ],
)
def test_three_slashes_are_relative_to_the_file_four_are_absolute(
    load: Loader, tmp_path: Path, url: str, meant: str
) -> None:
    settings = load(MINIMAL.replace("duckdb:///warehouse.duckdb", url))
    assert settings.warehouse == meant.format(base=tmp_path)


@pytest.mark.parametrize(
    ("changes", "meant"),
    [
        ("example/my dir", "file://{base}/example/my dir"),
        ("./dir", "file://{base}/dir"),
        ("/abs/dir", "file:///abs/dir"),
        ("file:///abs/dir", "file:///abs/dir"),
        ("s3://lake/firehose/", "s3://lake/firehose/"),
    ],
)
def test_a_directory_of_changes_becomes_a_file_url(load: Loader, tmp_path: Path, changes: str, meant: str) -> None:
    assert load(MINIMAL.replace("./feed", changes)).sources[0].changes == meant.format(base=tmp_path)


# --- where the file is ----------------------------------------------------------------------------------


def test_the_option_wins_over_the_variable_and_that_over_the_directory(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml", "cdc-merge.yaml"):
        (tmp_path / name).touch()
    environ = {"CDC_MERGE_CONFIG": "b.yaml"}
    assert find_config("a.yaml", environ=environ, cwd=tmp_path) == tmp_path / "a.yaml"
    assert find_config(None, environ=environ, cwd=tmp_path) == tmp_path / "b.yaml"
    assert find_config(None, environ={}, cwd=tmp_path) == tmp_path / "cdc-merge.yaml"
    assert find_config(str(tmp_path / "a.yaml"), environ={}, cwd=Path("/")) == tmp_path / "a.yaml"


@pytest.mark.parametrize("option", ["no.yaml", None])
def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path, option: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        find_config(option, environ={}, cwd=tmp_path)
    assert caught.value.exit_code == 2 and caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"\xff\xfe", "not UTF-8"), (b"", "is empty"), (b"- a", "must be a mapping")],
)
def test_a_file_that_is_no_configuration_at_all_is_one_problem(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "cdc-merge.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path, environ={})
    assert len(caught.value.problems) == 1


# --- environment variables ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${PLACE}", "x: [y"),
        ("${NONE:-dir}", "dir"),
        ("${EMPTY:-dir}", "dir"),
        ("a${EMPTY}b", "ab"),
        ("${NONE:-}c", "c"),
        ("$${PLACE}", "${PLACE}"),
        ("a-$PLACE-$$", "a-$PLACE-$$"),
    ],
)
def test_environment_variables_are_put_into_values(load: Loader, tmp_path: Path, written: str, value: str) -> None:
    settings = load(MINIMAL.replace("./feed", f"'{written}'"), {"PLACE": "x: [y", "EMPTY": ""})
    assert settings.sources[0].changes == f"file://{tmp_path}/{value}"


def test_environment_variables_may_stand_for_numbers_and_truth_values(load: Loader) -> None:
    text = in_target('where: {A: {exists: "${HAS}"}}') + '    batch: {objects: "${N}"}\n'
    source = load(text, {"HAS": "false", "N": "12"}).sources[0]
    assert source.batch.objects == 12
    assert source.targets[0].where == (Condition(("A",), exists=False),)


def test_an_unset_variable_is_a_problem_at_its_value_and_only_one(load: Loader) -> None:
    place, message, hint = load.problem(MINIMAL.replace("duckdb:///warehouse.duckdb", "${WAREHOUSE}"))
    assert place == "1:12" and "WAREHOUSE is not set" in message and "${WAREHOUSE:-default}" in hint


@pytest.mark.parametrize("written", ["${}", "${A B}", "${A-b}", "${A"])
def test_what_names_no_variable_is_a_problem(load: Loader, written: str) -> None:
    assert "names no environment variable" in load.problem(MINIMAL.replace("./feed", f'"{written}"'))[1]


# --- mistakes -------------------------------------------------------------------------------------------


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(load: Loader) -> None:
    problems = load.problems("""\
warehouse: oracle://host/db
metadata_schema: main
defaults: {pol: 5s}
sources:
  - name: shop
    changes: gs://bucket/
    key: [PK, SK, X]
    load: warehouse
    targets:
      - table: t
        where: {Type: "${TYPE}"}
        columns:
          total: {from: Total, type: "numeric(2,3)", unit: s}
          Total: Other
          id: {from: PK, type: text}
""")
    assert [p.place.partition(".yaml:")[2] for p in problems] == [
        "1:12", "3:12", "6:14", "7:10", "11:23", "13:38", "14:11", "15:26",
    ]  # fmt: skip
    assert all(p.hint for p in problems)


@pytest.mark.parametrize(
    ("old", "new", "place", "message", "hint"),
    [
        ("key: [PK]", "key: PK", "5:10", "`key` must be a list", "key: [PK, SK]"),
        ("key: [PK]", "key: []", "5:10", "`key` must not be empty", "key: [PK, SK]"),
        ("key: [PK]", "key: [A, B, C]", "5:10", "at most 2, not 3", "key: [PK, SK]"),
        ("key: [PK]", "key: [A, A]", "5:14", "key attribute 'A' is there already", "[PK, SK]"),
        ("key: [PK]", "key: [1]", "5:11", "`key` must be text", '"1"'),
        ("    key: [PK]\n", "", "3:5", "`key` is missing", "key: [PK, SK]"),
        ("    changes: ./feed\n", "", "3:5", "`changes` is missing", "s3://bucket/prefix/"),
        ("./feed", "", "4:5", "`changes` has no value", "remove the line"),
        ("./feed", "gs://x/y", "4:14", "cannot be read from gs://", "s3://"),
        ("./feed", "s3:///x", "4:14", "names no bucket", "s3://bucket"),
        ("./feed", "s3:/x", "4:14", "lacks a slash", "s3://bucket"),
        ("./feed", "file://x", "4:14", "three slashes", "file:///"),
        ("./feed", "[a]", "4:14", "must be a place", "s3://bucket"),
        ("./feed", "{a", "4:14", "the { that begins here has no end", "close it with }"),
        ("./feed", "!!binary aa", "4:14", "tag binary", "plain"),
        ("./feed", "!!int feed", "4:14", "not a number", "digits"),
        ("./feed", "a\n---\nb", "5:1", "another document", ""),
        ("./feed", "*feed", "4:14", "not valid YAML", "quotes"),
        ("./feed", "a\n    changes: b", "5:5", "given twice; the first is on line 4", "keep one"),
        ("./feed", "./feed\n    ordering: newest", "5:15", "cannot be 'newest'", "sequence or time"),
        ("./feed", "./feed\n    poll: 5", "5:11", '"5" is not a duration', "5s"),
        ("./feed", "./feed\n    poll: 0s", "5:11", "more than nothing", "5s"),
        ("./feed", "./feed\n    memory: 12 parsecs", "5:13", "'12 parsecs' is not a size", "512MB"),
        ("./feed", "./feed\n    memory: 64MB", "5:13", "'64MB' is too little", "256MB"),
        ("./feed", "./feed\n    batch: {objects: 0}", "5:22", "at least 1", "1000"),
        ("./feed", "./feed\n    batch: 512MB", "5:12", "`batch` must be a mapping", ""),
        ("./feed", "./feed\n    targets: []", "5:14", "`targets` must not be empty", "table"),
        ("./feed", "./feed\n    <<: {a: b}", "5:5", "merge keys", "defaults"),
        ("./feed", "./feed\n    Polls: 5s", "5:5", "unknown key `Polls`", "did you mean `poll`?"),
        ("./feed", "./feed\n    zzz: 5s", "5:5", "unknown key `zzz`", "known here: poll, batch"),
        ("name: shop", "name: ''", "3:11", "`name` must not be empty", "ecommerce"),
        ("name: shop", f"name: {'é' * 32}x", "3:11", "has 65 bytes; a source's name has at most 64", "shorten"),
        ("name: shop", "name: '€'", "3:11", "no table can be named", "targets"),
        ("name: shop", 'name: "a"\n    targets: [{table: "\\0"}]', "4:23", "control characters", "remove"),
        ("duckdb:///warehouse.duckdb", "w.duckdb", "1:12", "not the URL of a warehouse", "duckdb:///"),
        ("duckdb:///warehouse.duckdb", "duckdb://w.duckdb", "1:12", "three slashes", "duckdb:///"),
        ("duckdb:///warehouse.duckdb", "duckdb:///", "1:12", "names no file", "duckdb:///"),
        ("duckdb:///warehouse.duckdb", "'duckdb:///:memory:'", "1:12", "gone after each merge", "duckdb:///"),
        ("duckdb:///warehouse.duckdb", "mysql://h/d", "1:12", "known by mysql://", "postgresql://"),
        ("warehouse: duckdb:///warehouse.duckdb\n", "", "1:1", "`warehouse` is missing", "duckdb:///"),
        ("sources:", "schema: CDC_merge\nsources:", "2:9", "cannot share the schema", "another"),
        ("sources:", "metadata_schema: main\nsources:", "2:18", "cannot share the schema", "another"),
        ("sources:", "schema: 7\nsources:", "2:9", "`schema` must be text", '"7"'),
        ("sources:", "schema: 007\nsources:", "2:9", "could be a number or text", '"007"'),
        ("key: [PK]", "key: &k [*k]", "5:10", "inside what it names", "write it out"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_what_to_write(
    load: Loader, old: str, new: str, place: str, message: str, hint: str
) -> None:
    assert old in MINIMAL
    found = load.problem(MINIMAL.replace(old, new))
    assert found[0] == place and message in found[1] and hint in found[2], found


@pytest.mark.parametrize(
    ("line", "place", "message", "hint"),
    [
        ("table: u", "8:9", "`table` is given twice", "keep one"),
        ("colums: {}", "8:9", "unknown key `colums`", "`columns`"),
        ("columns: {a: 1}", "8:22", "must be the name of an attribute", '"1"'),
        ("columns: {a: ''}", "8:22", "an attribute has a name", "Attribute"),
        ("columns: {a: }", "8:19", "`a` has no value", ""),
        ("columns: {'': A}", "8:19", "must not be empty", ""),
        ("columns: {a: {type: text}}", "8:22", "`from` is missing", ""),
        ("columns: {a: {from: A, typ: text}}", "8:32", "unknown key `typ`", "`type`"),
        ("columns: {a: {from: A, type: varchar}}", "8:38", "'varchar' is not a type", "did you mean text?"),
        ("columns: {a: {from: A, type: 'decimal(8, 2)'}}", "8:38", "is not a type", "did you mean numeric(8, 2)?"),
        ("columns: {a: {from: A, type: numerc}}", "8:38", "is not a type", "did you mean numeric?"),
        ("columns: {a: {from: A, type: money of some kind}}", "8:38", "is not a type", "integer, numeric, double"),
        ("columns: {a: {from: A, type: numeric(8,2)}}", "8:38", "comma ends 'numeric(8'", 'quotes: "numeric(8,2)"'),
        ("columns: {title:Title}", "8:19", "`title:Title` lacks a space", "`title: Title`"),
        ("where:{A: b}", "8:9", "unknown key `where:{A`", "a space after the colon"),
        ("columns: title:Title", "8:18", "neither columns nor document", "a space after the colon"),
        ("where: title:Title", "8:16", "`where` must be a mapping", "a space after each colon"),
        ("columns: {a: [A]}", "8:22", "not a list", "without [ ]"),
        ("where: {A: {begins_with: x}}", "8:21", "unknown key `begins_with`", "`prefix`"),
        ("evolve: true", "8:17", "cannot be true", "add, freeze or fail"),
        ("evolve: [add]", "8:17", "cannot be a list", "add, freeze or fail"),
        ("columns: {a: {from: A, type: text(5)}}", "8:38", "nothing in brackets", "text"),
        ("columns: {a: {from: A, type: 'numeric(0)'}}", "8:38", "numeric(0,0) cannot be", "numeric(12,2)"),
        ("columns: {a: {from: A, type: 'numeric(39)'}}", "8:38", "at most 38 digits", "numeric alone"),
        ("columns: {a: {from: A, unit: s}}", "8:32", "`unit` goes with type", "add type: timestamp"),
        ("columns: {a: {from: A, type: date, unit: s}}", "8:44", "`unit` goes with type: timestamp", ""),
        ("columns: {a: {from: A, type: timestamp, unit: ns}}", "8:55", "cannot be 'ns'", "s, ms or us"),
        ("columns: {_cdc_x: A}", "8:19", "begin with _cdc_", "rename"),
        ("columns: {_CDC_x: A}", "8:19", "begin with _cdc_", "rename"),
        ("columns: {RowID: A}", "8:19", "system column of duckdb", "rename"),
        ("columns: {a: A, A: B}", "8:25", "column 'A' is there already, on line 8", "capitals"),
        ("columns: {id: {from: PK, type: text}}", "8:34", "keeps the type of its attribute", "id: PK"),
        ("columns: {id: PK.x}", "8:23", "has no parts", "alone"),
        ("columns: {id: PK, id2: PK}", "8:27", "already has the column 'id'", "keep one"),
        ("where: Customer", "8:16", "`where` must be a mapping", "where: {Type: Customer}"),
        ("where: {A: }", "8:19", "no value to compare with", "{exists: false}"),
        ("where: {A: []}", "8:20", "must not be empty", ""),
        ("where: {A: [[x]]}", "8:21", "must be text, a number", "list"),
        ("where: {A: {prefix: x, exists: true}}", "8:20", "either `prefix` or `exists`", "prefix"),
        ("where: {A: {}}", "8:20", "either `prefix` or `exists`", "prefix"),
        ("where: {A: {prefix: 1}}", "8:29", "`prefix` must be text", '"1"'),
        ("where: {A: {exists: maybe}}", "8:29", "neither true nor false", "true or false"),
        ("where: {A: {sufix: x}}", "8:21", "unknown key `sufix`", "prefix"),
        ("where: {A..b: 1}", "8:17", "'A..b' is not a path", "double quotes"),
        ("where: {^A: 1}", "8:17", "begins with ^", "double quotes"),
        ("where: {A.b: 1, '\"A\".b': 2}", "8:25", "same attribute as on line 8", "list"),
        ("where: {A: .nan}", "8:20", "no number nan", "finite"),
        ("where: {A: 1.00000000000000000001}", "8:20", "more digits", "15"),
        (f"where: {{A: {10**38}}}", "8:20", "at most 38 digits", "quotes"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_target_has_its_place_and_what_to_write(
    load: Loader, line: str, place: str, message: str, hint: str
) -> None:
    found = load.problem(in_target(line))
    assert found[0] == place and message in found[1] and hint in found[2], found


@pytest.mark.parametrize(
    ("lines", "place", "message", "hint"),
    [
        ("columns:\n\t  a: A", "9:9", "a tab cannot indent", "with spaces"),
        ("columns:\n  a:A\n  b: B", "9:12", "`a:A` lacks a space", "`a: A`"),
        ("columns:\n  b: B\n  a:A", "10:12", "`a:A` lacks a space", "`a: A`"),
        ("columns:\n  a: b: c", "9:15", "a second `: `", "quotes"),
        ("columns:\n  a: A\n b: B", "10:10", "is indented", "line up with the line above"),
        ("columns:\n  a: A\n    b: B", "10:13", "is indented", "line up with the line above"),
        ("where:\n  SK: {prefix: #META}\nevolve: add", "9:24", "is a comment", "in quotes"),
        ("columns: {a: A\nevolve: add", "8:18", "the { that begins here has no end", "close it with }"),
        ("columns: {a: {from: A, match: A#{}}}", "8:41", "but got '{'", "in quotes"),
    ],
)  # fmt: skip
def test_what_is_no_yaml_is_told_by_what_most_likely_slipped(
    load: Loader, lines: str, place: str, message: str, hint: str
) -> None:
    found = load.problem(in_target(lines))
    assert found[0] == place and message in found[1] and hint in found[2], found


def test_a_key_attribute_may_be_renamed_by_its_quoted_name(load: Loader) -> None:
    text = in_target("columns: {id: '\"a.b\"'}").replace("[PK]", "[a.b]")
    assert load(text).sources[0].targets[0].columns == (Column("id", ("a.b",)),)


def test_names_of_sources_and_tables_are_given_once(load: Loader) -> None:
    text = (
        MINIMAL
        + """\
  - {name: shop, changes: b, key: [PK], targets: [{table: a}, {table: A}]}
  - {name: other, changes: b, key: [PK], targets: [{table: Shop}]}
"""
    )
    found = [(p.place.partition(".yaml:")[2], p.message) for p in load.problems(text)]
    assert found == [
        ("6:12", "the source 'shop' is there already, on line 3"),
        ("6:71", "the table 'A' is there already, on line 6"),
        ("7:60", "the table 'Shop' is there already, on line 3"),
    ]


def test_names_fit_the_63_bytes_of_postgres(load: Loader) -> None:
    fits, too_long = "é" * 31 + "a", "é" * 32
    postgres = in_target(f"columns: {{{fits}: A, {too_long}: B}}").replace(
        "duckdb:///warehouse.duckdb", "postgresql:///d"
    )
    assert "at most 63 bytes, this column has 64" in load.problem(postgres)[1]
    assert load.target(f"columns: {{{too_long}: A}}").columns
    named = MINIMAL.replace("shop", "s" * 64).replace("duckdb:///warehouse.duckdb", "postgres://h/d")
    assert "this table has 64" in load.problem(named)[1]
    assert "system column of postgres" in load.problem(postgres.replace(too_long, "xmin"))[1]


# --- who decodes ----------------------------------------------------------------------------------------

REDSHIFT = "redshift://h/d?staging=s3://b/p/&iam_role=default"


def asking_the_warehouse(url: str, changes: str = "s3://b/feed/", *, defaults: bool = False) -> str:
    text = re.sub("warehouse: .*", f"warehouse: {url}", MINIMAL).replace("./feed", changes)
    return text + "defaults: {load: warehouse}\n" if defaults else text.rstrip("\n") + "\n    load: warehouse\n"


def test_the_warehouse_decodes_where_it_can_and_is_asked(load: Loader) -> None:
    assert load(MINIMAL).sources[0].load is Load.WORKER
    assert load(asking_the_warehouse(REDSHIFT)).sources[0].load is Load.WAREHOUSE
    assert load(asking_the_warehouse(REDSHIFT, defaults=True)).sources[0].load is Load.WAREHOUSE
    assert load(asking_the_warehouse("snowflake://u:p@account/d")).sources[0].load is Load.WAREHOUSE
    both = asking_the_warehouse(REDSHIFT, defaults=True).replace("    key", "    load: worker\n    key")
    assert load(both).sources[0].load is Load.WORKER


@pytest.mark.parametrize(
    ("url", "changes", "message"),
    [
        ("duckdb:///w", "s3://b/feed/", "is for engines that load from S3 by themselves"),
        ("postgresql://h/d", "s3://b/feed/", "is for engines that load from S3 by themselves"),
        (REDSHIFT, "./feed", "needs `changes` on S3"),
    ],
)
def test_the_warehouse_does_not_decode_where_it_cannot(load: Loader, url: str, changes: str, message: str) -> None:
    _, said, hint = load.problem(asking_the_warehouse(url, changes))
    assert message in said and hint == "write load: worker"
    _, said, hint = load.problem(asking_the_warehouse(url, changes, defaults=True))
    assert message in said and "of defaults" in said and hint


@pytest.mark.parametrize(
    ("rest", "word"),
    [
        ("//me@host/db?cluster=c", "host"),
        ("///db?staging=s3://b/p/&iam_role=default", "cluster or a workgroup"),
        ("///db?cluster=c", "stage"),
    ],
)
def test_a_redshift_data_url_must_say_where_and_how_to_stage(load: Loader, rest: str, word: str) -> None:
    place, message, hint = load.problem(
        re.sub("warehouse: .*", f"warehouse: redshift+data:{rest}", in_target("deletes: soft"))
    )
    assert place == "1:12" and word in message and hint


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("", "stage"),
        ("?staging=file:///x", "stage"),
        ("?staging=s3://b/p/", "IAM role"),
        ("?iam_role=default", "stage"),
    ],
)
def test_a_redshift_url_must_say_where_to_stage_and_who_may_read_it(load: Loader, query: str, word: str) -> None:
    place, message, hint = load.problem(
        re.sub("warehouse: .*", f"warehouse: redshift://me@h/d{query}", in_target("deletes: soft"))
    )
    assert place == "1:12" and word in message and hint


@pytest.mark.parametrize(
    ("rest", "word"),
    [
        ("me@account", "database"),
        ("account/db?private_key_path=k.p8", "user"),
        ("me@account/db", "prove"),
        ("me@account/db?private_key_path=k.p8&rolle=x", "rolle"),
    ],
)
def test_a_snowflake_url_must_say_where_and_who(load: Loader, rest: str, word: str) -> None:
    place, message, hint = load.problem(
        re.sub("warehouse: .*", f"warehouse: snowflake://{rest}", in_target("deletes: soft"))
    )
    assert place == "1:12" and word in message and hint


@pytest.mark.parametrize(
    "url",
    [
        "redshift://h/d?staging=s3://b/p/&iam_role=default",
        "redshift+data:///d?workgroup=www&staging=s3://b/p/&iam_role=default",
        "snowflake://me@account/db/schema?private_key_path=k.p8&warehouse=w",
    ],
)
def test_where_a_catalog_does_not_keep_capitals_names_have_none(load: Loader, url: str) -> None:
    text = re.sub("warehouse: .*", f"warehouse: {url}", in_target("columns: {UserName: Name}"))
    _, message, hint = load.problem(text)
    assert "capitals" in message and "username" in str(hint)
    assert load(text.replace("UserName", "user_name"))


def test_on_snowflake_a_schema_may_be_written_as_the_catalog_has_it(load: Loader) -> None:
    snowflake = "snowflake://me@account/db/schema?private_key_path=k.p8&warehouse=w"
    assert load(re.sub("warehouse: .*", f"schema: PUBLIC\nwarehouse: {snowflake}", in_target("deletes: soft")))


def test_values_that_this_version_does_keep_are_accepted(load: Loader) -> None:
    assert load(in_target("deletes: soft\nexpired: keep\nevolve: add") + "    load: worker\n")


# --- secrets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hunter2@host/db",
        "redshift://me:hunter2@host/db",
        "snowflake://me:hunter2@host",
        "duckdb://me:hunter2@host",
        "me:hunter2@host/db",
        "hunter2",
        "[postgresql://me:hunter2@host/db]",
        "{postgresql: 'me:hunter2@host/db'}",
        "postgresql://me:hunter2@host/db\nwarehous: 1",
    ],
)
def test_the_password_of_the_warehouse_is_never_shown(load: Loader, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(MINIMAL.replace("duckdb:///warehouse.duckdb", url))
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.__context__)
    assert "hunter2" not in shown


def test_values_of_environment_variables_are_never_shown(load: Loader) -> None:
    text = MINIMAL + '    poll: ${A}\n    memory: "x${A}"\n    ordering: ${A}\n    load: ${A}\n'
    shown = str(ConfigError(load.problems(text, {"A": "hunter2"})))
    assert "hunter2" not in shown and "'${A}' is not a duration" in shown


# --- how values are written -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (values.duration, "500ms", 0.5),
        (values.duration, "1.5 h", 5400.0),
        (values.duration, "1d", 86400.0),
        (values.size, "512MB", 512 * 10**6),
        (values.size, "64MiB", 64 * 2**20),
        (values.size, "1.5kb", 1500),
        (values.size, "2TiB", 2 * 2**40),
        (values.size, "7B", 7),
        (values.percentage, "5%", 0.05),
        (values.percentage, "0.5 %", 0.005),
        (values.percentage, "0%", 0.0),
        (values.percentage, "100%", 1.0),
        (values.rate, "200/h", 200.0),
        (values.rate, "5 / m", 300.0),
        (values.rate, "0.5/s", 1800.0),
        (values.rate, "1200/d", 50.0),
        (values.rate, "0/h", 0.0),
        (values.column_type, "numeric", ColumnType(Kind.NUMERIC)),
        (values.column_type, "numeric( 12 , 2 )", ColumnType(Kind.NUMERIC, 12, 2)),
        (values.column_type, "numeric(12)", ColumnType(Kind.NUMERIC, 12, 0)),
        (values.column_type, "binary", ColumnType(Kind.BINARY)),
        (values.item_path, "Email address", ("Email address",)),
        (values.item_path, "Address.City", ("Address", "City")),
        (values.item_path, "Lines[0].Sku", ("Lines", 0, "Sku")),
        (values.item_path, "m[1][20]", ("m", 1, 20)),
        (values.item_path, '"a.b".c', ("a.b", "c")),
        (values.item_path, '"say ""hi"""[0]', ('say "hi"', 0)),
        (values.item_path, '"^x"', ("^x",)),
        (values.item_path, 'a.""', ("a", "")),
    ],
)
def test_a_value_is_read(read: Callable[[str], object], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (values.duration, "1h30m"),
        (values.duration, "5M"),
        (values.duration, "-5s"),
        (values.duration, "36501d"),
        (values.duration, "9" * 400 + "h"),
        (values.size, "1XB"),
        (values.size, "0MB"),
        (values.size, 1000),
        (values.percentage, "101%"),
        (values.percentage, "5"),
        (values.percentage, "-1%"),
        (values.rate, "200"),
        (values.rate, "200/y"),
        (values.rate, "/h"),
        (values.rate, "-1/h"),
        (values.rate, "9" * 400 + "/h"),
        (values.rate, 200),
        (values.column_type, "numeric(12,"),
        (values.column_type, "numeric(1001)"),
        *((values.item_path, p) for p in ("", ".a", "a.", "a..b", "[0]", "a[x]", "a[-1]", "a.[0]", "a[0]b")),
        *((values.item_path, p) for p in ('a"b', '"a', '"a"b', "a]", '""', "^a")),
    ],
)  # fmt: skip
def test_what_cannot_be_read_comes_with_a_hint(read: Callable[[object], object], text: object) -> None:
    with pytest.raises(values.Mistake) as caught:
        read(text)
    assert caught.value.hint


@given(
    st.lists(st.one_of(st.text(min_size=1), st.integers(0, 10**6)), min_size=1).filter(lambda p: isinstance(p[0], str))
)
def test_every_path_can_be_written_with_quotes(path: list[str | int]) -> None:
    written = ""
    for step in path:
        if isinstance(step, int):
            written += f"[{step}]"
        else:
            written += ("." if written else "") + '"' + step.replace('"', '""') + '"'
    assert values.item_path(written) == tuple(path)


# --- the JSON Schema and the reference --------------------------------------------------------------------


def yaml_blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_the_committed_json_schema_is_up_to_date() -> None:
    committed = Path(cdc_merge.config.__file__).parent.parent / "config.schema.json"
    assert json.loads(committed.read_text(encoding="utf-8")) == json_schema(), (
        "run: python -m cdc_merge.config > cdc_merge/config.schema.json"
    )


@pytest.mark.parametrize("text", [MINIMAL, *yaml_blocks()])
def test_files_that_load_and_those_of_the_reference_fit_the_json_schema(load: Loader, text: str) -> None:
    if not text.startswith("warehouse:"):
        text = MINIMAL.split("sources:")[0] + text if text.startswith("sources:") else in_target(text)
    assert load(text, {"POSTGRES_PASSWORD": "p"})
    jsonschema.validate(YAML(typ="safe").load(text), json_schema(), jsonschema.Draft202012Validator)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.schemes[0])
def test_the_json_schema_takes_the_urls_of_every_engine(engine: Engine) -> None:
    document = YAML(typ="safe").load(MINIMAL) | {"warehouse": engine.example}
    jsonschema.validate(document, json_schema(), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL + "    zzz: 1\n",
        MINIMAL.replace("[PK]", "[A, B, C]"),
        MINIMAL.replace("duckdb:///", "mysql://"),
        MINIMAL + "    poll: 5\n",
        in_target("evolve: maybe"),
        in_target("history: maybe"),
        in_target("columns: {a: {from: A, type: varchar}}"),
        in_target("where: {A: {sufix: x}}"),
    ],
)
def test_the_json_schema_finds_mistakes(text: str) -> None:
    document = YAML(typ="safe").load(text)
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(document))


def test_the_reference_names_every_key() -> None:
    reference = DOCS.read_text(encoding="utf-8")
    models = [json_schema(), *json_schema()["$defs"].values()]
    for key in {key for model in models for key in model["properties"]}:
        assert f"`{key}`" in reference or f".{key}`" in reference, key

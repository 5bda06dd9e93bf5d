"""The configuration of single-table designs: pieces of keys, masks, rows from lists, documents, deletes, history."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cdc_merge.config import json_schema
from cdc_merge.config.references import Reference, column_path
from cdc_merge.config.templates import written_template
from cdc_merge.config.values import Mistake
from cdc_merge.errors import ConfigError
from cdc_merge.model import (
    Column,
    ColumnType,
    Condition,
    Deletes,
    Evolve,
    Expired,
    Kind,
    Mask,
    Target,
    Template,
    TimeUnit,
)
from tests.support.config import MINIMAL, Loader, in_target


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    return Loader(tmp_path)


def places(load: Loader, text: str) -> list[str]:
    return [p.place.partition(".yaml:")[2] for p in load.problems(text)]


# --- what the keys mean ---------------------------------------------------------------------------------


def test_a_target_that_says_nothing_deletes_hard_and_keeps_no_history(load: Loader) -> None:
    assert load.target("where: {}") == Target(
        "t",
        deletes=Deletes.HARD,
        expired=Expired.DELETE,
        each=None,
        is_document=False,
        has_history=False,
    )


@pytest.mark.parametrize(
    ("lines", "target"),
    [
        ("deletes: soft", Target("t", deletes=Deletes.SOFT)),
        ("deletes: ignore\nexpired: keep", Target("t", deletes=Deletes.IGNORE, expired=Expired.KEEP)),
        ("expired: keep", Target("t", expired=Expired.KEEP)),
        ("history: true\nexpired: delete", Target("t", has_history=True)),
        ("history: false", Target("t")),
        ("columns: document", Target("t", evolve=Evolve.FREEZE, is_document=True)),
        (
            "columns: document\ndeletes: soft\nhistory: true",
            Target("t", evolve=Evolve.FREEZE, deletes=Deletes.SOFT, is_document=True, has_history=True),
        ),
    ],
)
def test_every_key_of_a_target_is_read(load: Loader, lines: str, target: Target) -> None:
    assert load.target(lines) == target


def test_an_element_of_a_list_becomes_a_row_with_columns_of_the_item_around_it(load: Loader) -> None:
    target = load.target("""
where: {Type: Order}
each: Order.Lines
columns:
  sku: Sku
  city: {from: Ship.City, mask: redact}
  whole: "."
  raw: {from: ".", type: json}
  order_id: ^OrderId
  country: {from: ^Address.Country, type: text}
  id: ^PK
  customer: {from: ^PK, match: "CUSTOMER#{}"}
  pk: PK
""")
    assert target.each == ("Order", "Lines")
    assert target.where == (Condition(("Type",), any_of=("Order",)),)
    assert target.evolve is Evolve.FREEZE
    assert target.columns == (
        Column("sku", ("Sku",)),
        Column("city", ("Ship", "City"), mask=Mask.REDACT),
        Column("whole", ()),
        Column("raw", (), ColumnType(Kind.JSON)),
        Column("order_id", ("OrderId",), of_parent=True),
        Column("country", ("Address", "Country"), ColumnType(Kind.TEXT), of_parent=True),
        Column("id", ("PK",), of_parent=True),
        Column("customer", ("PK",), template=Template(("CUSTOMER#", ""), 0), of_parent=True),
        Column("pk", ("PK",)),  # an attribute of the element, whatever the key's name
    )


def test_a_piece_of_a_key_is_a_column_beside_the_keys_own(load: Loader) -> None:
    target = load.target("""
columns:
  id: PK
  username: {from: PK, match: "CUSTOMER#{}"}
  number: {from: PK, match: "CUSTOMER#{}", type: integer}
  at: {from: SK, match: "AT#{at}", type: timestamp, unit: ms}
  email: {from: Contact.Email, match: "{}@example.com", mask: hash, type: text}
""")
    assert target.columns == (
        Column("id", ("PK",)),
        Column("username", ("PK",), template=Template(("CUSTOMER#", ""), 0)),
        Column("number", ("PK",), ColumnType(Kind.INTEGER), Template(("CUSTOMER#", ""), 0)),
        Column("at", ("SK",), ColumnType(Kind.TIMESTAMP, unit=TimeUnit.MILLISECONDS), Template(("AT#", ""), 0)),
        Column("email", ("Contact", "Email"), ColumnType(Kind.TEXT), Template(("", "@example.com"), 0), Mask.HASH),
    )


@pytest.mark.parametrize("mask", list(Mask))
def test_a_column_is_masked_in_three_ways(load: Loader, mask: Mask) -> None:
    assert load.target(f"columns: {{a: {{from: A, mask: {mask}}}}}").columns == (Column("a", ("A",), mask=mask),)


def test_the_new_keys_may_come_from_the_environment(load: Loader) -> None:
    lines = (
        'each: "${LIST}"\ndeletes: "${HOW}"\nhistory: "${KEPT}"\n'
        'columns: {a: {from: "${FROM}", match: "X${T}", mask: "${MASK}"}}'
    )
    environ = {"LIST": "Items", "HOW": "hard", "KEPT": "false", "FROM": "^A.b", "T": "#{}", "MASK": "drop"}
    target = load.target(lines, environ)
    assert (target.each, target.deletes, target.has_history) == (("Items",), Deletes.HARD, False)
    assert target.columns == (Column("a", ("A", "b"), None, Template(("X#", ""), 0), Mask.DROP, of_parent=True),)


@pytest.mark.parametrize("line", ["deletes: soft", "deletes: ignore", "expired: keep"])
def test_rows_of_elements_follow_every_delete(load: Loader, line: str) -> None:
    place, message, hint = load.problem(in_target(f"each: Items\ncolumns: {{a: A}}\n{line}"))
    assert (place, message) == ("10:18", f"`{line}` is of whole items, and the rows are elements") and hint


# --- templates and references -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "column", "template"),
    [
        ("ORDER#{}", "x", Template(("ORDER#", ""), 0)),
        ("ORDER#{other}", "x", Template(("ORDER#", ""), 0)),
        ("{}", "x", Template(("", ""), 0)),
        ("{}#ORDER", "x", Template(("", "#ORDER"), 0)),
        ("ORDER#{order_id}#ITEM#{item_id}", "item_id", Template(("ORDER#", "#ITEM#", ""), 1)),
        ("ORDER#{order_id}#ITEM#{item_id}", "order_id", Template(("ORDER#", "#ITEM#", ""), 0)),
        ("{a b}|{x}.{c}", "x", Template(("", "|", ".", ""), 1)),
        ("{{{x}}}", "x", Template(("{", "}"), 0)),
        ("a{{}}b{}{{c", "x", Template(("a{}b", "{c"), 0)),
        ("é.*\\{}\n$", "x", Template(("é.*\\", "\n$"), 0)),
    ],
)
def test_a_column_takes_its_namesake_among_the_holes_else_the_only_one(
    written: str, column: str, template: Template
) -> None:
    assert written_template(written).for_column(column) == template


@given(st.lists(st.text(min_size=1), min_size=2, max_size=5), st.data())
def test_every_text_can_stand_around_holes(literals: list[str], data: st.DataObject) -> None:
    hole = data.draw(st.integers(0, len(literals) - 2))
    doubled = [text.replace("{", "{{").replace("}", "}}") for text in literals]
    written = doubled[0] + "".join(f"{{h{i}}}{text}" for i, text in enumerate(doubled[1:]))
    assert written_template(written).for_column(f"h{hole}") == Template(tuple(literals), hole)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("ORDER#", "has no hole"),
        ("", "has no hole"),
        ("{{}}", "has no hole"),
        ("{}#{}", "not all have a name"),
        ("{a}#{}", "not all have a name"),
        ("{a}#{a}", "gives two holes one name"),
        ("x{a}{b}", "touch"),
        ("{}{}", "touch"),
        ("ORDER#{", "has a { without its other"),
        ("ORDER#}", "has a } without its other"),
        ("{a{b}}", "has a { without its other"),
        ({}, "must be text"),
        (7, "must be text"),
    ],
)
def test_what_is_no_template_comes_with_a_hint(written: object, message: str) -> None:
    with pytest.raises(Mistake, match=message) as caught:
        written_template(written)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("written", "reference"),
    [
        (".", Reference(())),
        ("^A", Reference(("A",), of_parent=True)),
        ("^A.b[0]", Reference(("A", "b", 0), of_parent=True)),
        ('^"^A"', Reference(("^A",), of_parent=True)),
        ('"^A"', Reference(("^A",))),
        ('"."', Reference((".",))),
    ],
)
def test_a_reference_is_a_path_the_element_or_a_path_of_the_item_around(written: str, reference: Reference) -> None:
    assert column_path(written) == reference


@pytest.mark.parametrize("written", ["", "^", "^^A", "^.", "..", ".a", "^[0]", 7])
def test_what_is_no_reference_comes_with_a_hint(written: object) -> None:
    with pytest.raises(Mistake) as caught:
        column_path(written)
    assert caught.value.hint


# --- mistakes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "place", "message", "hint"),
    [
        ("columns: all", "8:18", "'all' is neither columns nor document", "columns: document"),
        ("columns: [a]", "8:18", "`columns` must be a mapping", "Address.City"),
        ("columns: document\nevolve: add", "9:9", "`evolve` says nothing", "remove it"),
        ("deletes: never", "8:18", "`deletes` cannot be 'never'", "hard, soft or ignore"),
        ("expired: soft", "8:18", "`expired` cannot be 'soft'", "delete or keep"),
        ("history: all", "8:18", "neither true nor false", "true or false"),
        ("each: [Items]\ncolumns: {a: A}", "8:15", "`each`: must be the name", "without [ ]"),
        ("each: ^Items\ncolumns: {a: A}", "8:15", "begins with ^", "double quotes"),
        ("each: .\ncolumns: {a: A}", "8:15", "'.' is not a path", "Attribute"),
        ("each: PK\ncolumns: {a: A}", "8:15", "'PK' is a key attribute, which has no elements", "a list"),
        ("each: Items", "8:9", "`each` needs `columns`", "columns: {sku: Sku}"),
        ("each: Items\ncolumns: document", "9:18", "not of an element", 'columns: {element: "."}'),
        ("each: Items\ncolumns: {a: A}\nhistory: true", "10:9", "keeps no history yet", "without `each`"),
        ("columns: {a: ^A}", "8:22", "there is no `each`", "leave out the ^"),
        ("columns: {a: {from: ^A, type: text}}", "8:29", "there is no `each`", "leave out the ^"),
        ("columns: {a: .}", "8:22", "the element of an `each`, and there is none", "document"),
        ("columns: {a: {from: .}}", "8:29", "the element of an `each`", "document"),
        ("columns: {a: {from: A, match: 'x'}}", "8:39", "`match`: 'x' has no hole", "ORDER#{}"),
        ("columns: {a: {from: A, match: {}}}", "8:39", "`match`: must be text", "quotes"),
        ("columns: {a: {from: A, match: '{b}#{c}'}}", "8:39", "2 holes has the name of the column", "{a}"),
        ("columns: {a: {from: A, match: '{A}#{c}'}}", "8:39", "2 holes has the name of the column", "{a}"),
        ("columns: {a: {from: A, match: '{}{}'}}", "8:39", "touch", "between"),
        ("columns: {a: {from: A, match: 'x{}', type: json}}", "8:52", "never json", "remove the type"),
        ("columns: {a: {from: A, match: 'x{}', type: binary}}", "8:52", "never binary", "remove the type"),
        ("columns: {a: {from: A, mask: blur}}", "8:38", "`mask` cannot be 'blur'", "hash, redact or drop"),
        ("columns: {a: {from: A, mask: hash, type: integer}}", "8:50", "is text, never integer", "remove"),
        ("columns: {a: {from: A, mask: drop, type: json}}", "8:50", "masked column is text", "remove"),
        ("columns: {a: {from: PK, mask: hash}}", "8:33", "'PK' is a key attribute", "in a view"),
        ("columns: {a: {from: PK, match: 'x{}', mask: drop}}", "8:47", "'PK' is a key attribute", "in a view"),
        ("columns: {a: {from: PK.x, match: 'x{}'}}", "8:22", "has no parts", "alone"),
        ("each: I\ncolumns: {a: {from: ^PK, mask: redact}}", "9:34", "'PK' is a key attribute", "in a view"),
        ("each: I\ncolumns: {a: {from: ^PK, type: text}}", "9:34", "keeps the type", "write a: ^PK"),
        ("each: I\ncolumns: {a: ^PK, b: ^PK}", "9:27", "already has the column 'a'", "keep one"),
        ("each: I\ncolumns: {_cdc_index: A}", "9:19", "begin with _cdc_", "rename"),
        ("deletes: soft\ncolumns: {_cdc_deleted_at: A}", "9:19", "begin with _cdc_", "rename"),
        ("mask: hash", "8:9", "unknown key `mask`", "known here"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_what_to_write(
    load: Loader, lines: str, place: str, message: str, hint: str
) -> None:
    found = load.problem(in_target(lines))
    assert found[0] == place and message in found[1] and hint in found[2], found


def test_a_column_of_an_element_may_mask_an_attribute_that_is_named_like_a_key(load: Loader) -> None:
    columns = load.target("each: I\ncolumns: {a: {from: PK, mask: hash}, b: PK, c: PK.d}").columns
    assert columns == (Column("a", ("PK",), mask=Mask.HASH), Column("b", ("PK",)), Column("c", ("PK", "d")))


def test_all_mistakes_of_a_target_are_reported_at_once(load: Loader) -> None:
    text = in_target("""
each: PK
history: true
deletes: no
columns:
  a: {from: .x, match: "x"}
  b: {from: ^PK, mask: hash}
  c: {from: C, match: "{d}.{e}", type: binary}
  d: {from: D, mask: hash, type: json}
""")
    assert places(load, text) == ["8:15", "9:9", "10:18", "12:21", "12:32", "13:26", "14:31", "14:48", "15:42"]
    assert all(p.hint for p in load.problems(text))


def test_a_history_has_a_table_that_no_target_may_share(load: Loader) -> None:
    text = (
        MINIMAL
        + """\
    targets:
      - {table: Orders, history: true}
      - {table: orders_HISTORY, history: "false"}
      - {table: items, history: false}
      - {table: items_history}
  - {name: orders_history, changes: b, key: [PK]}
"""
    )
    found = [(p.place.partition(".yaml:")[2], p.message) for p in load.problems(text)]
    assert found == [
        ("8:17", "in 'orders_HISTORY' the history of 'Orders' is kept, of line 7"),
        ("11:12", "in 'orders_history' the history of 'Orders' is kept, of line 7"),
        ("11:12", "the table 'orders_history' is there already, on line 8"),
    ]


def test_the_name_of_a_history_fits_the_63_bytes_of_postgres(load: Loader) -> None:
    def postgres(table: str) -> str:
        lines = in_target("history: true").replace("table: t", f"table: {table}")
        return lines.replace("duckdb:///warehouse.duckdb", "postgresql:///d")

    assert load(postgres("t" * 55)).sources[0].targets[0].has_history
    place, message, hint = load.problem(postgres("t" * 56))
    assert place == "8:9" and "at most 63 bytes, this history table has 64" in message and hint


def test_values_of_environment_variables_are_not_shown_in_messages(load: Loader) -> None:
    text = in_target("""
columns:
  a: {from: A, match: "${X}"}
  b: {from: A, match: "{${X}}.{z}"}
  c: {from: A, mask: "${X}"}
  d: {from: "^${X}"}
""")
    problems = load.problems(text, {"X": "hunter2"})
    assert len(problems) == 4 and "hunter2" not in str(ConfigError(problems))


# --- the JSON Schema ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "is_valid"),
    [
        ("columns: document", True),
        ("columns: everything", False),
        ('columns: "${COLUMNS}"', True),
        ("each: Items\ncolumns: {a: ., b: ^B, c: {from: ^C}}", True),
        ("each: [Items]", False),
        ("deletes: soft\nexpired: keep\nhistory: true", True),
        ("deletes: ignore\nhistory: '${KEPT}'", True),
        ("deletes: never", False),
        ("expired: soft", False),
        ("history: sometimes", False),
        ("columns: {a: {from: A, match: 'X#{}', mask: hash}}", True),
        ("columns: {a: {from: A, match: '{{x}}#{a}#{b}', mask: redact, type: text}}", True),
        ("columns: {a: {from: A, match: 'X#', mask: drop}}", False),
        ("columns: {a: {from: A, mask: blur}}", False),
    ],
)
def test_the_json_schema_knows_the_keys_of_a_target(lines: str, is_valid: bool) -> None:
    document = YAML(typ="safe").load(in_target(lines))
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(document) is is_valid


def test_every_key_has_help_in_the_editor() -> None:
    for model in ("TargetModel", "ColumnModel"):
        for key, about in json_schema()["$defs"][model]["properties"].items():
            assert about.get("description"), key

"""The proposal as YAML: what `run` takes as it is, whatever the data is called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_merge.config import load_config
from cdc_merge.infer.inferrer import Options, infer
from cdc_merge.infer.proposal import Proposal
from cdc_merge.infer.secrets import hide_secrets
from cdc_merge.infer.write import scalar, write_yaml
from cdc_merge.model import Source, Template
from tests.support.commands import invoke
from tests.support.records import frame, stream_record

ROOT = Path(__file__).parents[2]


def propose(folder: Path, items: list[dict[str, Any]], **options: Any) -> Proposal:
    folder.mkdir(parents=True, exist_ok=True)
    records = [stream_record({"Id": f"i{n}"}, item, sequence=n + 1, at=1) for n, item in enumerate(items)]
    (folder / "feed-1").write_bytes(frame(records))
    return infer(str(folder), Options(records=None, **options))


def load(text: str, folder: Path) -> Source:
    path = folder / "proposed.yaml"
    path.write_text(text, encoding="utf-8")
    (source,) = load_config(path, environ={}).sources
    return source


HARD_NAMES = (
    *("Email address", "a.b", "a[0]", '"quoted"', "it's", "^parent", "yes", "null", "1", "0x1", "a: b", "- a", "#a"),
    *(
        "${HOME}",
        "$${x}",
        "a\\b",
        " lead",
        "trail ",
        "{x}",
        "line\nbreak",
        "tab\t",
        "Größe",
        "日本",
        "\U0001f600",
        "*a",
    ),
)


@pytest.mark.parametrize("name", HARD_NAMES)
def test_every_name_of_an_attribute_comes_through(tmp_path: Path, name: str) -> None:
    proposal = propose(tmp_path / "feed", [{name: "x"}])
    source = load(write_yaml(proposal), tmp_path)
    assert [c.path for c in source.targets[0].columns or ()] == [(name,)]


def test_an_attribute_without_a_name_is_left_out_and_said(tmp_path: Path) -> None:
    lines = {"Lines": [{"": 1, "Sku": "s"}], "Bare": [{"": 1}]}
    proposal = propose(tmp_path / "feed", [{"": "Nameless", "What": "x", **lines} for _ in range(12)])
    text = write_yaml(proposal)
    assert "whose name is the empty text has no column" in text
    whole, of_lines = load(text, tmp_path).targets
    assert [c.path for c in whole.columns or ()] == [("Bare",), ("Lines",), ("What",)]
    assert [c.path for c in of_lines.columns or ()] == [("Sku",)]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_every_text_is_read_back_as_it_was_written(text: str) -> None:
    from cdc_merge.config.document import read_document

    document = read_document(f"a: {scalar(text)}\nb: {{c: {scalar(text)}}}\n{scalar(text)}: 1\n", {})
    assert document.root.get("a").value == text
    assert document.root.get("b").get("c").value == text
    assert text in document.root.fields


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=70)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(names, min_size=2, max_size=4, unique=True), st.lists(names, min_size=1, max_size=8, unique=True))
@pytest.mark.parametrize("warehouse", ["duckdb:///x.duckdb", "postgresql://u@h/d"])
def test_whatever_entities_and_attributes_are_called_the_proposal_is_taken(
    tmp_path: Path, warehouse: str, entities: list[str], attributes: list[str]
) -> None:
    items = [
        {"Type": entity, **{f"{a}{n}" if i else a: i for i, a in enumerate(attributes)}}
        for n, entity in enumerate(entities)
        for _ in range(3)
    ]
    proposal = propose(tmp_path / "feed", items, warehouse=warehouse)
    targets = load(write_yaml(proposal), tmp_path).targets
    for table, target in zip(proposal.tables, targets, strict=True):
        assert target.where == table.entity.where
        assert {c.path for c in target.columns or ()} == {(c.attribute,) for c in table.columns}


def test_values_of_text_are_never_shown(tmp_path: Path) -> None:
    items = [{"Secret": f"s3cr3t-{n}", "Phone": 5550000 + n, "Level": n} for n in range(20)]
    text = write_yaml(propose(tmp_path / "feed", items))
    assert "s3cr3t" not in text
    assert "5550000" not in text
    assert "0 to 19" in text


def test_a_list_of_maps_becomes_a_target_of_its_own_and_pieces_of_keys_become_columns(tmp_path: Path) -> None:
    records = [
        stream_record(
            {"PK": f"ORDER#{n}", "SK": "a{b"}, {"Lines": [{"Sku": "a", "Qty": n}], "a.Id": "x"}, sequence=n + 1, at=1
        )
        for n in range(20)
    ]
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "feed-1").write_bytes(frame(records))
    orders, lines = load(write_yaml(infer(str(tmp_path / "orders"))), tmp_path).targets
    assert [(c.name, c.path, c.template) for c in orders.columns or ()] == [
        ("order_id", ("PK",), Template(("ORDER#", ""), 0)),
        ("lines", ("Lines",), None),
        ("a_id", ("a.Id",), None),
    ]
    assert (lines.table, lines.each) == ("order_lines", ("Lines",))
    assert [(c.path, c.of_parent) for c in lines.columns or ()] == [
        (("PK",), True),
        (("a.Id",), True),
        (("Qty",), False),
        (("Sku",), False),
    ]


def test_what_was_not_read_is_said(tmp_path: Path) -> None:
    proposal = propose(tmp_path / "feed", [{"a": 1}])
    some = replace(proposal.extent, objects=3, objects_there=9, whole=1, unusable=2, unreadable={"parquet": 1})
    text = write_yaml(replace(proposal, extent=some))
    assert "3 of 9 objects, 2 of them only their beginning; --all reads everything" in text
    assert "Not usable: 2 records" in text
    assert "1 object (parquet)" in text


def test_the_command_prints_a_configuration_or_the_findings(tmp_path: Path) -> None:
    feed = str(ROOT / "example/firehose/ecommerce")
    ran = invoke("infer", feed, "--warehouse", "postgresql://u@h/d", "--name", "shop")
    assert load(ran.stdout, tmp_path).name == "shop"
    assert 'warehouse: "postgresql://u@h/d"' in ran.stdout
    found = json.loads(invoke("infer", feed, "--format", "json", "--all").stdout)
    assert found["read"]["everything"] is True
    assert found["read"]["records"] > found["read"]["items"] > 0
    assert {t["table"] for t in found["tables"]} == {"customers", "orders", "order_items"}
    assert found["discriminator"] == "Type"
    assert load(found["config"], tmp_path).name == "ecommerce"


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("postgresql://u:s3cr3t@h/d", "postgresql://u:${CDC_MERGE_WAREHOUSE_PASSWORD}@h/d"),
        ("postgresql://u:s3/c?r@3t@h/d", "postgresql://u:${CDC_MERGE_WAREHOUSE_PASSWORD}@h/d"),
        ("postgresql://u:${PG}@h/d?sslmode=require", "postgresql://u:${PG}@h/d?sslmode=require"),
        (
            "snowflake://u@a/d?private_key_path=k.p8&private_key_file_pwd=s3cr3t",
            "snowflake://u@a/d?private_key_path=k.p8&private_key_file_pwd=${CDC_MERGE_WAREHOUSE_PRIVATE_KEY_FILE_PWD}",
        ),
        (
            "postgresql://h:5432/d?user=me@server&password=s3",
            "postgresql://h:5432/d?user=me@server&password=${CDC_MERGE_WAREHOUSE_PASSWORD}",
        ),
        ("postgresql://h/d?password=p@q", "postgresql://h/d?password=${CDC_MERGE_WAREHOUSE_PASSWORD}"),
        ("postgresql://u@h/d?password=p@q", "postgresql://u@h/d?password=${CDC_MERGE_WAREHOUSE_PASSWORD}"),
        (
            "snowflake://u@a/d?passcode=12@3&private_key=k&private_key_file=k.p8",
            (
                "snowflake://u@a/d?passcode=${CDC_MERGE_WAREHOUSE_PASSCODE}"
                "&private_key=${CDC_MERGE_WAREHOUSE_PRIVATE_KEY}&private_key_file=k.p8"
            ),
        ),
        ("duckdb:///a@b:c.duckdb", "duckdb:///a@b:c.duckdb"),
    ],
)
def test_secrets_of_the_warehouse_are_left_to_the_environment(given: str, written: str) -> None:
    assert hide_secrets(given).url == written


def test_a_configuration_without_its_password_is_taken_once_the_variable_is_set(tmp_path: Path) -> None:
    (tmp_path / "feed").mkdir()
    (tmp_path / "feed" / "1").write_bytes(frame([stream_record({"Id": "i"}, {"a": 1}, sequence=1, at=1)]))
    ran = invoke("infer", str(tmp_path / "feed"), "--warehouse", "postgresql://u:s3%22cr3t@h/d")
    assert "s3%22cr3t" not in ran.output
    assert "CDC_MERGE_WAREHOUSE_PASSWORD" in ran.stderr
    path = tmp_path / "proposed.yaml"
    path.write_text(ran.stdout)
    loaded = load_config(path, environ={"CDC_MERGE_WAREHOUSE_PASSWORD": "s3%22cr3t"})
    assert loaded.warehouse == "postgresql://u:s3%22cr3t@h/d"


def test_a_wrong_key_or_place_is_wrong_usage(tmp_path: Path) -> None:
    for arguments in (["--key", "a,b,c"], ["--key", ","], []):
        assert "hint" in invoke("infer", str(tmp_path / "missing"), *arguments, exits=2).stderr

"""The configuration of reconcile: where exports lie, which table a source is, and the policy."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from cdc_merge.config import json_schema
from cdc_merge.errors import ConfigError
from cdc_merge.model import ReconcilePolicy, Source
from tests.support.config import MINIMAL, Loader

ARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/Shop.Orders-2"


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    return Loader(tmp_path)


def with_lines(lines: str, *, defaults: str = "") -> str:
    """A file whose one source has these lines more, and whose defaults are these."""
    more = "".join(f"    {line}\n" for line in lines.splitlines())
    return MINIMAL.replace("sources:", f"{defaults}\nsources:" if defaults else "sources:") + more


def policy(load: Loader, lines: str, *, defaults: str = "") -> ReconcilePolicy:
    return load(with_lines(lines, defaults=defaults)).sources[0].reconcile


def test_a_source_that_says_nothing_has_the_documented_policy(load: Loader) -> None:
    source: Source = load(MINIMAL).sources[0]
    assert (source.exports, source.table) == (None, None)
    assert source.reconcile == ReconcilePolicy(every=None, request=False, max_delete=0.05, margin=120.0, probe=None)


def test_every_key_of_reconcile_is_read(load: Loader) -> None:
    lines = (
        "exports: s3://lake/exports/\ntable: Shop\n"
        "reconcile: {every: 24h, max_delete: 2.5%, margin: 90s, probe: 5/m, request: true}"
    )
    assert policy(load, lines) == ReconcilePolicy(
        every=86400.0, request=True, max_delete=0.025, margin=90.0, probe=300.0
    )


def test_a_source_overrides_the_defaults_key_by_key(load: Loader) -> None:
    defaults = "defaults: {reconcile: {every: 12h, max_delete: 10%, margin: 5m, probe: 200/h, request: true}}"
    lines = "exports: s3://lake/exports/\ntable: Shop\n"
    assert policy(load, lines, defaults=defaults) == ReconcilePolicy(43200.0, True, 0.1, 300.0, 200.0)
    own = lines + "reconcile: {every: 1h, margin: 61s}"
    assert policy(load, own, defaults=defaults) == ReconcilePolicy(3600.0, True, 0.1, 61.0, 200.0)


def test_a_source_can_say_no_to_what_the_defaults_say(load: Loader) -> None:
    defaults = "defaults: {reconcile: {max_delete: 10%, probe: 200/h, request: true}}"
    lines = "reconcile: {max_delete: 0%, probe: 0/h, request: false}"
    assert policy(load, lines, defaults=defaults) == ReconcilePolicy(max_delete=0.0)


def test_values_of_reconcile_may_come_from_the_environment(load: Loader) -> None:
    lines = 'exports: "${PLACE}"\ntable: "${TABLE}"\nreconcile: {max_delete: "${MOST}", request: "${ASK}"}'
    environ = {"PLACE": "s3://lake/", "TABLE": ARN, "MOST": "1%", "ASK": "true"}
    source = load(with_lines(lines), environ).sources[0]
    assert (source.exports, source.table) == ("s3://lake/", ARN)
    assert source.reconcile == ReconcilePolicy(request=True, max_delete=0.01)


@pytest.mark.parametrize(
    ("exports", "meant"),
    [
        ("my exports/x", "file://{base}/my exports/x"),
        ("/abs/dir", "file:///abs/dir"),
        ("file:///abs/dir/", "file:///abs/dir/"),
        ("s3://lake", "s3://lake"),
        ("s3://lake/exports/", "s3://lake/exports/"),
    ],
)
def test_a_directory_of_exports_becomes_a_file_url(load: Loader, tmp_path: Path, exports: str, meant: str) -> None:
    assert load(with_lines(f"exports: {exports}")).sources[0].exports == meant.format(base=tmp_path)


@pytest.mark.parametrize("table", ["abc", "Shop_Orders-2.eu", "a" * 255, ARN, ARN.replace("arn:aws:", "arn:aws-cn:")])
def test_a_table_is_a_name_or_an_arn(load: Loader, table: str) -> None:
    assert load(with_lines(f"table: {table}")).sources[0].table == table


@pytest.mark.parametrize(
    ("lines", "place", "message", "hint"),
    [
        ("exports: gs://x/y", "6:14", "exports cannot be read from gs://", "s3://"),
        ("exports: s3:///x", "6:14", "names no bucket", "s3://bucket"),
        ("exports: [a]", "6:14", "must be a place", "s3://bucket"),
        ("exports: s3://b/x/AWSDynamoDB/0169-a/", "6:14", "the root above AWSDynamoDB/", "leave out AWSDynamoDB/"),
        ("table: ab", "6:12", "'ab' cannot be the name", "3 to 255"),
        (f"table: {'a' * 256}", "6:12", "cannot be the name", "3 to 255"),
        ("table: my table", "6:12", "cannot be the name", "ARN"),
        ("table: 1234", "6:12", "`table` must be text", '"1234"'),
        ("table: arn:aws:s3:::bucket", "6:12", "not the ARN of a DynamoDB table", "table/NAME"),
        (f"table: {ARN}/stream/2026-11-24T00:00:00.000", "6:12", "is the ARN of a stream", "leave out what follows"),
        ("reconcile: 24h", "6:16", "`reconcile` must be a mapping", "{every: 24h"),
        ("reconcile: {evry: 24h}", "6:17", "unknown key `evry`", "did you mean `every`?"),
        ("reconcile: {max_delete: 5}", "6:29", '"5" is not a percentage', "with its sign, for example 5%"),
        ("reconcile: {max_delete: 0.05}", "6:29", '"0.05" is not a percentage', "5%"),
        ("reconcile: {max_delete: 100.1%}", "6:29", "not a percentage", "0% to 100%"),
        ("reconcile: {max_delete: }", "6:17", "`max_delete` has no value", "remove the line"),
        ("reconcile: {margin: 60s}", "6:25", "only to about a minute", "at least 61s; the default is 2m"),
        ("reconcile: {margin: 2}", "6:25", "not a duration", "2m"),
        ("exports: e\nreconcile: {every: 59s}", "7:24", "too often", "at least 1m"),
        ("table: abc\nreconcile: {probe: 200}", "7:24", "not a rate", "200/h"),
        ("reconcile: {request: maybe}", "6:26", "neither true nor false", "true or false"),
        ("reconcile: {every: 24h}", "6:17", "`every` needs `exports`", "add `exports: s3://bucket/prefix/`"),
        ("reconcile: {probe: 200/h}", "6:17", "`probe` needs `table`", "name or ARN"),
        ("exports: s3://b/\nreconcile: {request: true}", "7:17", "`request` needs `table`", "name or ARN"),
        ("table: abc\nreconcile: {request: true}", "7:17", "`request` needs `exports`", "s3://bucket/prefix/"),
        ("table: abc\nexports: e\nreconcile: {request: true}", "8:17", "needs `exports` on S3", "s3://bucket"),
        ("table: abc\nexports: file:///e\nreconcile: {request: true}", "8:17", "needs `exports` on S3", "remove"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_what_to_write(
    load: Loader, lines: str, place: str, message: str, hint: str
) -> None:
    found = load.problem(with_lines(lines))
    assert found[0] == place and message in found[1] and hint in found[2], found


@pytest.mark.parametrize(
    ("default", "message", "remedy"),
    [
        ("every: 24h", "`every` of defaults needs `exports`", "move `every` from defaults"),
        ("probe: 200/h", "`probe` of defaults needs `table`", "reconcile: {probe: 0/h}"),
    ],
)
def test_a_source_that_cannot_do_what_the_defaults_ask_is_named_itself(
    load: Loader, default: str, message: str, remedy: str
) -> None:
    text = f"""\
warehouse: duckdb:///w.duckdb
defaults: {{reconcile: {{{default}}}}}
sources:
  - {{name: a, changes: a, key: [PK], exports: s3://b/, table: abc}}
  - {{name: b, changes: b, key: [PK]}}
"""
    found = load.problem(text)
    assert found[0] == "5:5" and message in found[1] and remedy in found[2], found


def test_all_mistakes_of_reconcile_are_reported_at_once(load: Loader) -> None:
    problems = load.problems(
        with_lines(
            "exports: gs://b/\ntable: x\nreconcile: {every: 1s, max_delete: 5, margin: 1s, probe: 5, request: 7}",
            defaults="defaults: {reconcile: {margin: 0s, evry: 1d}}",
        )
    )
    assert [p.place.partition(".yaml:")[2] for p in problems] == [
        "2:32", "2:36", "7:14", "8:12", "9:24", "9:40", "9:51", "9:62", "9:74",
    ]  # fmt: skip
    assert all(p.hint for p in problems)


def test_a_table_from_the_environment_is_not_shown_in_messages(load: Loader) -> None:
    shown = str(ConfigError(load.problems(with_lines("table: ${T}"), {"T": f"{ARN}/hunter2"})))
    assert "hunter2" not in shown and ARN not in shown and "${T}" in shown


@pytest.mark.parametrize(
    ("lines", "is_valid"),
    [
        (f"exports: s3://b/\ntable: {ARN}\nreconcile: {{every: 24h, max_delete: 5%, margin: 2m}}", True),
        ("table: abc\nreconcile: {probe: 200/h, request: false}", True),
        ('table: "${TABLE}"\nreconcile: {max_delete: "${MOST}"}', True),
        ("table: a b c", False),
        ("reconcile: {max_delete: 5}", False),
        ("reconcile: {probe: 200}", False),
        ("reconcile: {evry: 24h}", False),
    ],
)
def test_the_json_schema_knows_the_keys_of_reconcile(lines: str, is_valid: bool) -> None:
    document = YAML(typ="safe").load(with_lines(lines))
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(document) is is_valid

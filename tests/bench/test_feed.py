"""The measures of the feed run, what they decode is right, and requests follow what is new."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from pathlib import Path

from bench.by_sql import digest_after
from bench.feed import disordered, shop, shop_as
from bench.figures import Options
from bench.measures import MEASURES
from tests.bench.probing import RECORDS


def test_decoding_gives_the_rows_of_a_query_by_hand_whatever_the_objects_are_like(options: Options) -> None:
    *figures, against_floor = MEASURES["decode"](options)
    assert len(figures) == 4 and against_floor.baseline == "read_ndjson_objects"
    typed = [figure for figure in figures if figure.case.startswith("typed")]
    assert len({figure.counts["digest"] for figure in typed}) == 1 and typed[0].counts["records"] == RECORDS


def test_the_other_forms_of_a_feed_have_the_same_changes(data: Path) -> None:
    feed = shop(RECORDS, below=data)
    plain = shop_as(RECORDS, codec="none", below=data)
    assert digest_after([feed.first]) == digest_after([plain])


def test_a_poll_makes_as_many_requests_for_ten_times_the_merged_objects(options: Options) -> None:
    _, few, few_new, start, many, many_new = MEASURES["poll"](replace(options, judge=True))
    assert start.counts["requests"] == start.baseline_counts["requests"] == 15
    assert few.counts["requests"] <= many.counts["requests"] < 7 and many.is_met
    assert many_new.counts["requests"] == few_new.counts["requests"]


def test_the_cost_of_a_million_changes_is_counted_on_both_engines(options: Options) -> None:
    figures = MEASURES["cost"](options)
    assert {figure.case.split(",")[0] for figure in figures} == {"DuckDB", "Postgres"}
    for figure in figures:
        # Eight objects of a feed, and one page that lists them.
        assert figure.counts["requests"] == figure.baseline_counts["requests"] == 9 * 1_000_000 / RECORDS
        assert min(figure.counts[name] for name in ("statements", "transactions", "staged_bytes", "fetched_bytes")) > 0


def test_changes_that_come_late_twice_and_out_of_order_end_as_they_must(options: Options) -> None:
    figures = MEASURES["disorder"](options)
    assert [figure.case.split(",")[0] for figure in figures] == ["DuckDB", "DuckDB", "Postgres"]
    for figure in figures:
        assert figure.counts["records"] == RECORDS and figure.baseline_seconds


def test_a_disordered_load_has_duplicates_and_no_order(data: Path) -> None:
    numbers = []
    for path in disordered(RECORDS, below=data):
        numbers += [
            int(number) for number in re.findall(rb'"SequenceNumber":"(\d+)"', gzip.decompress(path.read_bytes()))
        ]
    assert len(numbers) == RECORDS > len(set(numbers)) and numbers != sorted(numbers)

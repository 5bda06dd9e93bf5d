"""What the worker counts, and how it says over HTTP that it is well."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPResponse

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdc_merge.errors import UsageError
from cdc_merge.health import Health, HealthServer, parse_address
from cdc_merge.metrics import CONTENT_TYPE, Metrics

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    return Metrics(clock=clock.now)


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(["shop", "stock"], limit=60, clock=clock.monotonic)


@pytest.fixture
def server(metrics: Metrics, health: Health) -> Iterator[HealthServer]:
    server = HealthServer("127.0.0.1:0", metrics=metrics, health=health)
    yield server
    server.close()


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(metrics.render().decode()):
        for found in family.samples:
            if found.name == name and found.labels == labels:
                return float(found.value)
    return None


def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


# --- metrics ---------------------------------------------------------------------------------------------


def test_a_merged_batch_adds_to_records_rows_objects_and_batches(metrics: Metrics) -> None:
    counts = {"records": 10, "applied": 5, "superseded": 3, "stale": 1, "ignored": 0, "quarantined": 1}
    targets = {"orders": {"inserted": 2, "updated": 2, "deleted": 1}}
    for _ in range(2):
        metrics.batch_merged("shop", counts, targets, objects=3, newest=NOON)

    assert sample(metrics, "cdc_merge_records_total", source="shop", outcome="applied") == 10
    assert sample(metrics, "cdc_merge_records_total", source="shop", outcome="superseded") == 6
    assert sample(metrics, "cdc_merge_records_total", source="shop", outcome="ignored") == 0
    assert sample(metrics, "cdc_merge_records_total", source="shop", outcome="records") is None
    assert sample(metrics, "cdc_merge_rows_total", source="shop", target="orders", change="deleted") == 2
    assert sample(metrics, "cdc_merge_objects_total", source="shop") == 6
    assert sample(metrics, "cdc_merge_batches_total", source="shop") == 2
    assert sample(metrics, "cdc_merge_last_merge_timestamp_seconds", source="shop") == NOON.timestamp()


def test_freshness_is_the_age_of_the_newest_change_when_scraped(metrics: Metrics, clock: Clock) -> None:
    assert sample(metrics, "cdc_merge_freshness_seconds", source="shop") is None
    metrics.merged_up_to("shop", NOON - timedelta(seconds=30))
    assert sample(metrics, "cdc_merge_freshness_seconds", source="shop") == 30
    clock.seconds = 12
    assert sample(metrics, "cdc_merge_freshness_seconds", source="shop") == 42


def test_a_late_batch_does_not_make_the_source_look_less_fresh(metrics: Metrics) -> None:
    metrics.batch_merged("shop", {}, {}, objects=1, newest=NOON - timedelta(seconds=5))
    metrics.batch_merged("shop", {}, {}, objects=1, newest=NOON - timedelta(hours=5))
    metrics.batch_merged("shop", {}, {}, objects=1, newest=None)

    assert sample(metrics, "cdc_merge_freshness_seconds", source="shop") == 5


def test_a_declared_source_counts_from_zero(metrics: Metrics) -> None:
    metrics.declare("shop", ["orders"])

    assert sample(metrics, "cdc_merge_records_total", source="shop", outcome="quarantined") == 0
    assert sample(metrics, "cdc_merge_rows_total", source="shop", target="orders", change="inserted") == 0
    assert sample(metrics, "cdc_merge_batch_seconds_count", source="shop", phase="merge") == 0
    assert sample(metrics, "cdc_merge_source_stopped", source="shop") == 0
    assert sample(metrics, "cdc_merge_freshness_seconds", source="shop") is None


def test_every_other_sign_of_a_source_has_its_metric(metrics: Metrics) -> None:
    metrics.phase("shop", "load", 0.2)
    metrics.retried("shop", "WarehouseUnavailable")
    metrics.store_requested("shop", 4)
    metrics.backlog("shop", 7)
    metrics.quarantine_holds("shop", 2)
    metrics.source_stopped("shop", True)
    metrics.lease_held("shop", True)

    assert sample(metrics, "cdc_merge_batch_seconds_bucket", source="shop", phase="load", le="0.1") == 0
    assert sample(metrics, "cdc_merge_batch_seconds_bucket", source="shop", phase="load", le="0.25") == 1
    assert sample(metrics, "cdc_merge_retries_total", source="shop", error="WarehouseUnavailable") == 1
    assert sample(metrics, "cdc_merge_store_requests_total", source="shop") == 4
    assert sample(metrics, "cdc_merge_backlog_objects", source="shop") == 7
    assert sample(metrics, "cdc_merge_quarantined_records", source="shop") == 2
    assert sample(metrics, "cdc_merge_source_stopped", source="shop") == 1
    assert sample(metrics, "cdc_merge_lease_held", source="shop") == 1

    metrics.source_stopped("shop", False)
    metrics.lease_held("shop", False)
    assert sample(metrics, "cdc_merge_source_stopped", source="shop") == 0
    assert sample(metrics, "cdc_merge_lease_held", source="shop") == 0


def test_reconciles_and_samples_are_told_by_target_verdict_and_bound(metrics: Metrics) -> None:
    metrics.declare("shop", ["orders"])
    metrics.reconcile_ended("shop", "refused")
    metrics.reconciled("shop", NOON, {"orders": {"missing": 3, "extra": 0, "different": 1}})
    metrics.verified_through("shop", "orders", NOON - timedelta(minutes=2))
    metrics.sampled("shop", {"equal": 4, "drifted": 1})
    metrics.drift_estimated("shop", 0.2, 0.04, 0.62)

    assert sample(metrics, "cdc_merge_reconciles_total", source="shop", outcome="refused") == 1
    assert sample(metrics, "cdc_merge_reconciles_total", source="shop", outcome="done") == 0
    assert sample(metrics, "cdc_merge_reconciled_timestamp_seconds", source="shop") == NOON.timestamp()
    verified = sample(metrics, "cdc_merge_verified_through_timestamp_seconds", source="shop", target="orders")
    assert verified == NOON.timestamp() - 120
    assert sample(metrics, "cdc_merge_drift_rows", source="shop", target="orders", verdict="missing") == 3
    assert sample(metrics, "cdc_merge_drift_samples_total", source="shop", outcome="drifted") == 1
    assert sample(metrics, "cdc_merge_drift_samples_total", source="shop", outcome="changed") == 0
    assert sample(metrics, "cdc_merge_drift_ratio", source="shop", bound="upper") == 0.62


def test_two_workers_in_one_process_do_not_share_counts(metrics: Metrics) -> None:
    metrics.store_requested("shop")

    assert sample(Metrics(), "cdc_merge_store_requests_total", source="shop") is None


# --- health over HTTP ------------------------------------------------------------------------------------


def test_metrics_are_served_in_prometheus_form(server: HealthServer, metrics: Metrics) -> None:
    metrics.backlog("shop", 7)
    response, body = ask(server, "/metrics?name=all")

    assert response.status == 200
    assert response.getheader("Content-Type") == CONTENT_TYPE
    assert b'cdc_merge_backlog_objects{source="shop"} 7.0\n' in body


def test_health_is_ok_while_every_source_runs_or_stands_by(server: HealthServer, health: Health, clock: Clock) -> None:
    clock.seconds = 50
    health.beat("shop")
    health.standing_by("stock")
    clock.seconds = 61.26
    response, body = ask(server, "/health")

    assert response.status == 200
    assert response.getheader("Content-Type") == "application/json"
    assert json.loads(body) == {
        "status": "ok",
        "sources": {
            "shop": {"state": "running", "seconds_since_progress": 11.3},
            "stock": {"state": "standing by", "seconds_since_progress": 11.3},
        },
    }


def test_a_source_without_progress_is_stuck_and_calls_for_a_restart(
    server: HealthServer, health: Health, clock: Clock
) -> None:
    clock.seconds = 61
    health.beat("stock")
    response, body = ask(server, "/health")

    assert response.status == 503
    assert json.loads(body)["status"] == "failing"
    assert json.loads(body)["sources"]["shop"] == {
        "state": "stuck",
        "seconds_since_progress": 61.0,
        "reason": "no progress for more than 60 seconds",
    }
    assert json.loads(body)["sources"]["stock"]["state"] == "running"
    assert ask(server, "/live")[0].status == 503


def test_a_stopped_source_is_unhealthy_but_calls_for_no_restart(
    server: HealthServer, health: Health, clock: Clock
) -> None:
    health.stopped("shop", "records of another kind")
    clock.seconds = 59
    health.beat("stock")
    clock.seconds = 61
    response, body = ask(server, "/health")

    assert response.status == 503
    assert json.loads(body)["sources"]["shop"] == {
        "state": "stopped",
        "seconds_since_progress": 61.0,
        "reason": "records of another kind",
    }
    assert ask(server, "/live")[0].status == 200

    health.beat("shop")
    assert ask(server, "/health")[0].status == 200


def test_head_answers_without_a_body_and_other_paths_are_not_found(server: HealthServer) -> None:
    head, nothing = ask(server, "/health", "HEAD")
    missing, body = ask(server, "/healthz")

    assert (head.status, nothing) == (200, b"")
    assert (missing.status, body) == (404, b"/health, /live, /metrics\n")
    assert ask(server, "/health", "POST")[0].status == 501


def test_a_closed_server_frees_its_port(metrics: Metrics, health: Health) -> None:
    first = HealthServer("127.0.0.1:0", metrics=metrics, health=health)
    first.close()
    first.close()
    second = HealthServer(f"127.0.0.1:{first.port}", metrics=metrics, health=health)

    assert ask(second, "/health")[0].status == 200
    second.close()


def test_a_taken_port_is_a_clear_error(metrics: Metrics, health: Health) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            HealthServer(f"127.0.0.1:{port}", metrics=metrics, health=health)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (":9090", ("", 9090)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("worker.local:65535", ("worker.local", 65535)),
        ("[::1]:9090", ("::1", 9090)),
    ],
)
def test_an_address_is_a_host_if_any_and_a_port(listen: str, address: tuple[str, int]) -> None:
    assert parse_address(listen) == address


@pytest.mark.parametrize(
    "listen",
    ["", "9090", "localhost", "localhost:", ":x", ":-1", ":65536", ":²", "::1:9090", "[::1:9090", "h/x:1"],
)
def test_a_malformed_address_is_a_usage_error_that_says_what_to_write(listen: str) -> None:
    with pytest.raises(UsageError, match="write HOST:PORT"):
        parse_address(listen)


def test_without_a_host_it_listens_on_every_interface(metrics: Metrics, health: Health) -> None:
    server = HealthServer(":0", metrics=metrics, health=health)

    assert server.host == "0.0.0.0"
    assert ask(server, "/live")[0].status == 200
    server.close()

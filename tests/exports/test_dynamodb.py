"""Tables and exports of a DynamoDB that answers over HTTP."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from moto.core import set_initial_no_auth_action_count

from cdc_merge.errors import StoreDenied, StoreUnavailable, UsageError
from cdc_merge.exports.dynamodb import Item, describe_table, open_client, table_arn_of
from cdc_merge.exports.rate import ReadRate
from cdc_merge.exports.request import request_export
from cdc_merge.exports.sample import canonical_key, sample_items
from cdc_merge.exports.scan import ScannedTable, scan_table
from cdc_merge.stopping import Stopping
from tests.support.s3 import MotoS3, moto_s3

START = datetime(2026, 1, 1, tzinfo=UTC)
ALL_TYPES: Item = {
    "PK": {"S": "customer#1"},
    "SK": {"S": "Grüße, \u0000 and 日本語"},
    "number": {"N": "12345678901234567890123456789012345678"},
    "small": {"N": "-1E-130"},
    "binary": {"B": bytes(range(256))},
    "bool": {"BOOL": False},
    "null": {"NULL": True},
    "map": {"M": {"inner": {"B": b"\xff\x00"}, "empty": {"M": {}}}},
    "list": {"L": [{"N": "0.10"}, {"S": ""}, {"L": []}]},
    "strings": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2.5"]},
    "binaries": {"BS": [b"\x00", b"\xfe\xff"]},
}


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoS3]:
    with moto_s3() as server:
        yield server


@pytest.fixture(scope="module")
def session(aws: MotoS3) -> Any:
    """One for all, as reading DynamoDB's API description takes its time."""
    return boto3.session.Session()


@pytest.fixture
def client(session: Any) -> Any:
    """A client that asks once."""
    return session.client("dynamodb", config=Config(retries={"total_max_attempts": 1}))


@pytest.fixture
def table(client: Any) -> str:
    """An empty table with PK and SK, without point-in-time recovery."""
    return create_table(client)


def create_table(client: Any, *, sort_type: str | None = "S", partition_type: str = "S") -> str:
    name = f"table-{uuid4()}"
    roles = [("PK", "HASH", partition_type), *([("SK", "RANGE", sort_type)] if sort_type else [])]
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        # the other way round: the order of the two is nobody's promise
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, _, kind in roles],
        KeySchema=[{"AttributeName": key, "KeyType": role} for key, role, _ in roles],
    )
    return name


def put(client: Any, table: str, *items: Item) -> None:
    for start in range(0, len(items), 25):
        requests = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        client.batch_write_item(RequestItems={table: requests})


def numbered(items: int, *, size: int = 1) -> list[Item]:
    return [{"PK": {"S": f"p{i}"}, "SK": {"S": "s"}, "text": {"S": "x" * size}} for i in range(items)]


def scan(table: str, directory: Path, *, segments: int = 1, **options: Any) -> ScannedTable:
    ticks = count()
    defaults: dict[str, Any] = {
        "rate": None,
        "clock": lambda: START + timedelta(seconds=next(ticks)),
        "check": lambda: None,
        "progress": lambda items: None,
    }
    return scan_table(table, directory, segments=segments, **(defaults | options))


def items_of(path: Path) -> list[Any]:
    return [json.loads(line)["Item"] for line in gzip.decompress(path.read_bytes()).splitlines()]


def as_json(value: Any) -> Any:
    """An item as DynamoDB JSON: binary values as base64 text."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {name: as_json(each) for name, each in value.items()}
        case list():
            return [as_json(each) for each in value]
    return value


def answer(client: Any, operation: str, reply: dict[str, Any], *, status: int = 200) -> None:
    """Have an operation answered so from now on, and the server not asked."""
    reply = {**reply, "ResponseMetadata": {"HTTPStatusCode": status}}
    client.meta.events.register(
        f"before-call.dynamodb.{operation}", lambda **_: (SimpleNamespace(status_code=status), reply)
    )


def fail(client: Any, operation: str, code: str, *, status: int = 400) -> None:
    answer(client, operation, {"Error": {"Code": code, "Message": "no"}}, status=status)


def alter_replies(client: Any, operation: str, alter: Callable[[dict[str, Any]], None]) -> None:
    client.meta.events.register(f"after-call.dynamodb.{operation}", lambda parsed, **_: alter(parsed))


def requests_of(client: Any, operation: str) -> list[dict[str, Any]]:
    """The parameters of each request of an operation from now on."""
    seen: list[dict[str, Any]] = []
    client.meta.events.register(
        f"before-parameter-build.dynamodb.{operation}", lambda params, **_: seen.append(dict(params))
    )
    return seen


# --- the table ---------------------------------------------------------------------------------------------


def test_a_table_is_named_by_its_name_or_its_arn(client: Any, table: str) -> None:
    arn = table_arn_of(table, client)

    assert arn == client.describe_table(TableName=table)["Table"]["TableArn"]
    assert table_arn_of(arn, client) == arn
    assert describe_table(arn, client).key == ("PK", "SK")


def test_the_partition_key_comes_first_however_the_key_is_listed(client: Any, table: str) -> None:
    alter_replies(client, "DescribeTable", lambda reply: reply["Table"]["KeySchema"].reverse())

    assert describe_table(table, client).key == ("PK", "SK")


def test_an_arn_names_its_region(aws: MotoS3) -> None:
    arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders"

    assert open_client(arn).meta.region_name == "eu-central-1"
    assert open_client("orders").meta.region_name == "us-east-1"


def test_a_name_without_a_region_says_how_to_set_one(aws: MotoS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    with pytest.raises(StoreDenied, match="set AWS_DEFAULT_REGION"):
        open_client("orders")


@pytest.mark.parametrize(
    ("code", "status", "reaction", "hint"),
    [
        ("ProvisionedThroughputExceededException", 400, StoreUnavailable, "read more slowly"),
        ("ThrottlingException", 400, StoreUnavailable, "read more slowly"),
        ("InternalServerError", 500, StoreUnavailable, "nothing to do"),
        ("LimitExceededException", 400, StoreUnavailable, "aws dynamodb list-exports"),
        ("AccessDeniedException", 400, StoreDenied, "allow dynamodb:DescribeTable"),
        ("ExpiredTokenException", 400, StoreDenied, "aws sso login"),
        ("ExportConflictException", 400, StoreDenied, "aws dynamodb list-exports"),
        ("ValidationException", 400, StoreDenied, "aws dynamodb describe-table --table-name orders"),
        ("SomethingNewException", 400, StoreDenied, "aws sts get-caller-identity"),
    ],
)
def test_an_error_asks_to_try_again_or_says_what_to_type(
    client: Any, code: str, status: int, reaction: type[Exception], hint: str
) -> None:
    fail(client, "DescribeTable", code, status=status)

    with pytest.raises(reaction, match=hint) as caught:
        describe_table("orders", client)
    assert code in str(caught.value)


def test_a_dynamodb_that_does_not_answer_is_tried_again_later(session: Any) -> None:
    client = session.client(
        "dynamodb",
        endpoint_url="http://127.0.0.1:9",  # the discard port: nobody listens
        config=Config(retries={"total_max_attempts": 1}),
    )

    with pytest.raises(StoreUnavailable, match="AWS_ENDPOINT_URL"):
        describe_table("orders", client)


def test_a_table_that_is_not_there_says_where_to_look(client: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreDenied, match="aws dynamodb list-tables"):
        scan("nowhere", tmp_path)
    with pytest.raises(StoreDenied, match="aws dynamodb list-tables"):
        sample_items("nowhere", [{"PK": {"S": "a"}}], client=client)
    with pytest.raises(StoreDenied, match="aws dynamodb list-tables"):
        export("nowhere")
    with pytest.raises(StoreDenied, match="aws dynamodb list-tables"):
        export("arn:aws:dynamodb:us-east-1:123456789012:table/nowhere")


def test_a_user_without_permission_is_told_which_to_give(session: Any, table: str) -> None:
    iam = session.client("iam")
    user = f"user-{uuid4()}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    nobody = session.client(
        "dynamodb", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )

    @set_initial_no_auth_action_count(0)
    def ask() -> None:
        describe_table(table, nobody)

    with pytest.raises(StoreDenied, match=r"(?s)AccessDenied.*hint: allow dynamodb:DescribeTable"):
        ask()


# --- scan --------------------------------------------------------------------------------------------------


def test_a_scan_holds_every_type_exactly(client: Any, table: str, tmp_path: Path) -> None:
    put(client, table, ALL_TYPES)

    scanned = scan(table, tmp_path)

    (item,) = items_of(scanned.files[0])
    assert item == as_json(ALL_TYPES)
    assert scanned.items == 1
    assert scanned.key == ("PK", "SK")
    assert scanned.table_arn == table_arn_of(table, client)
    assert scanned.started_at == START


@pytest.mark.parametrize(
    ("fast_by", "is_told"),
    [(timedelta(minutes=4), True), (timedelta(minutes=-4), True), (timedelta(0), False)],
)
def test_a_scan_begins_by_the_earlier_of_the_two_clocks(
    client: Any, table: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, fast_by: timedelta, is_told: bool
) -> None:
    dates: list[datetime] = []
    alter_replies(
        client,
        "DescribeTable",
        lambda reply: dates.append(parsedate_to_datetime(reply["ResponseMetadata"]["HTTPHeaders"]["date"])),
    )

    scanned = scan(table, tmp_path, client=client, clock=lambda: dates[0] + fast_by)

    assert scanned.started_at == dates[0] + min(fast_by, timedelta(0))
    assert ("clock_differs" in caplog.text) == is_told


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_a_scan_of_a_dynamodb_that_tells_no_time_begins_by_this_machines_clock(
    client: Any, table: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, date: str | None
) -> None:
    def alter(reply: dict[str, Any]) -> None:
        headers = reply["ResponseMetadata"]["HTTPHeaders"]
        del headers["date"]
        headers |= {"date": date} if date else {}

    alter_replies(client, "DescribeTable", alter)
    late = datetime.now(UTC) + timedelta(minutes=4)

    assert scan(table, tmp_path, client=client, clock=lambda: late).started_at == late
    assert "clock_differs" not in caplog.text


def test_the_segments_hold_every_item_once_each_in_its_file(client: Any, table: str, tmp_path: Path) -> None:
    items = numbered(60)
    put(client, table, *items)
    told: list[int] = []

    scanned = scan(table, tmp_path, segments=5, progress=told.append)

    assert len(scanned.files) == 5
    found = [item for file in scanned.files for item in items_of(file)]
    assert sorted(item["PK"]["S"] for item in found) == sorted(item["PK"]["S"] for item in items)
    assert scanned.items == 60
    assert told == sorted(told)
    assert told[-1] == 60


def test_a_scan_reads_page_after_page_consistently(client: Any, table: str, tmp_path: Path) -> None:
    items = numbered(9, size=300_000)
    put(client, table, *items)
    requests = requests_of(client, "Scan")

    scanned = scan(table, tmp_path, client=client)

    assert len(requests) == 3
    assert all(request["ConsistentRead"] for request in requests)
    assert {item["PK"]["S"] for item in items_of(scanned.files[0])} == {f"p{i}" for i in range(9)}
    assert scanned.items == 9


def test_an_empty_table_has_empty_files(table: str, tmp_path: Path) -> None:
    scanned = scan(table, tmp_path, segments=2)

    assert scanned.items == 0
    assert [items_of(file) for file in scanned.files] == [[], []]


def test_a_page_that_is_empty_is_not_taken_for_the_last(client: Any, table: str, tmp_path: Path) -> None:
    put(client, table, *numbered(2))
    onward = {"PK": {"S": ""}, "SK": {"S": ""}}
    pages = count()

    def empty_the_first(reply: dict[str, Any]) -> None:
        if next(pages) == 0:
            reply |= {"Items": [], "LastEvaluatedKey": onward}

    requests = requests_of(client, "Scan")
    alter_replies(client, "Scan", empty_the_first)
    scan(table, tmp_path, client=client)

    assert [request.get("ExclusiveStartKey") for request in requests] == [None, onward]


def test_a_check_that_raises_ends_all_segments(client: Any, table: str, tmp_path: Path) -> None:
    put(client, table, *numbered(20))
    checks = count(1)

    def stop_at_the_third() -> None:
        if next(checks) >= 3:
            raise Stopping

    with pytest.raises(Stopping):
        scan(table, tmp_path, segments=40, check=stop_at_the_third)


def test_a_segment_that_fails_tells_its_error_not_that_of_those_it_ended(
    client: Any, table: str, tmp_path: Path
) -> None:
    fail(client, "Scan", "ThrottlingException")

    with pytest.raises(StoreUnavailable, match="ThrottlingException"):
        scan(table, tmp_path, segments=8, client=client)


def test_a_scan_keeps_to_its_rate(client: Any, table: str, tmp_path: Path) -> None:
    put(client, table, *numbered(9, size=300_000))
    alter_replies(client, "Scan", lambda reply: reply.update(ConsumedCapacity={"CapacityUnits": 256.0}))
    requests = requests_of(client, "Scan")
    time = Time()

    scan(table, tmp_path, client=client, rate=64, monotonic=time.now, wait=time.wait)

    assert len(requests) == 3
    assert time.seconds == (len(requests) - 1) * 256 / 64


def test_a_long_wait_for_the_rate_can_be_stopped(client: Any, table: str, tmp_path: Path) -> None:
    put(client, table, *numbered(9, size=300_000))
    time = Time()

    def stop_after_ten_seconds() -> None:
        if time.seconds > 10:
            raise Stopping

    alter_replies(client, "Scan", lambda reply: reply.update(ConsumedCapacity={"CapacityUnits": 256.0}))
    with pytest.raises(Stopping):
        scan(
            table,
            tmp_path,
            client=client,
            rate=0.1,
            check=stop_after_ten_seconds,
            monotonic=time.now,
            wait=time.wait,
        )
    assert time.seconds < 12


def test_pages_side_by_side_share_one_rate() -> None:
    time = Time()
    rate = ReadRate(256, monotonic=time.now, wait=time.wait)

    first = rate.reserve(lambda: None)
    second = rate.reserve(lambda: None)  # the first is not read yet: what it may cost is waited for
    assert time.seconds == 1

    rate.settle(first, 1)
    rate.settle(second, 1)
    rate.reserve(lambda: None)
    assert time.seconds == 1  # both were cheap, so there is no debt


def test_unused_units_are_kept_for_a_second_only() -> None:
    time = Time()
    rate = ReadRate(10, monotonic=time.now, wait=time.wait)
    time.wait(3600)

    rate.settle(rate.reserve(lambda: None), 30)
    rate.reserve(lambda: None)

    assert time.seconds == 3600 + 2  # 10 were there, 30 are spent


@pytest.mark.parametrize("options", [{"segments": 0}, {"rate": 0.0}, {"rate": -1.0}, {"rate": float("nan")}])
def test_a_scan_of_no_segments_or_no_rate_is_a_mistake(table: str, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        scan(table, tmp_path, **options)


class Time:
    """Seconds that pass by waiting only."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


# --- single items ------------------------------------------------------------------------------------------


def never(seconds: float) -> None:
    raise AssertionError("nothing to wait for")


def keys_of(items: list[Item]) -> list[Item]:
    return [{"PK": item["PK"], "SK": item["SK"]} for item in items]


def test_more_keys_than_one_call_takes_are_all_read(client: Any, table: str) -> None:
    items = numbered(230)
    put(client, table, *items[:200])
    requests = requests_of(client, "BatchGetItem")

    found = sample_items(table, keys_of(items), client=client, wait=never)

    assert found == {canonical_key({"PK": item["PK"], "SK": item["SK"]}): item for item in items[:200]}
    assert len(requests) == 3
    assert all(request["RequestItems"][table]["ConsistentRead"] for request in requests)


def test_an_item_that_was_sampled_holds_every_type_exactly(client: Any, table: str) -> None:
    put(client, table, ALL_TYPES)

    assert list(sample_items(table, keys_of([ALL_TYPES])).values()) == [ALL_TYPES]


def test_a_key_that_is_asked_for_twice_is_read_once(client: Any, table: str) -> None:
    put(client, table, *numbered(1))

    assert len(sample_items(table, keys_of(numbered(1)) * 3, client=client)) == 1


def test_no_keys_ask_nothing(aws: MotoS3) -> None:
    assert sample_items("nowhere", []) == {}


def test_numbers_and_binary_values_are_keys_in_one_form(client: Any) -> None:
    table = create_table(client, partition_type="N", sort_type="B")
    put(client, table, {"PK": {"N": "100"}, "SK": {"B": b"\xff"}, "a": {"S": "b"}})

    found = sample_items(table, [{"PK": {"N": "100"}, "SK": {"B": b"\xff"}}], client=client)

    key = (("PK", "N", "1E+2"), ("SK", "B", "/w=="))
    assert found[key]["a"] == {"S": "b"}
    assert canonical_key({"SK": {"B": b"\xff"}, "PK": {"N": "1.00e2"}}) == key
    assert canonical_key({"PK": {"N": "-0"}}) == canonical_key({"PK": {"N": "0.00"}})
    longest = "12345678901234567890123456789012345678"
    assert canonical_key({"PK": {"N": longest}}) == (("PK", "N", longest),)


def test_keys_that_were_not_processed_are_asked_for_again(client: Any, table: str) -> None:
    items = numbered(20)
    put(client, table, *items)
    alter_replies(client, "BatchGetItem", lambda reply: leave_unread(reply, table, read=8))
    waited: list[float] = []

    found = sample_items(table, keys_of(items), client=client, wait=waited.append, jitter=lambda: 1.0)

    assert len(found) == 20
    assert waited == [0.1, 0.1]


def test_keys_that_are_never_processed_are_given_up(client: Any, table: str) -> None:
    put(client, table, *numbered(3))
    alter_replies(client, "BatchGetItem", lambda reply: leave_unread(reply, table, read=0))
    waited: list[float] = []

    with pytest.raises(StoreUnavailable, match="3 keys"):
        sample_items(table, keys_of(numbered(3)), client=client, wait=waited.append, jitter=lambda: 1.0)
    assert waited == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def leave_unread(reply: dict[str, Any], table: str, *, read: int) -> None:
    """Have a call process so many keys only."""
    unread = reply["Responses"][table][read:]
    del reply["Responses"][table][read:]
    if unread:
        reply["UnprocessedKeys"] = {table: {"Keys": keys_of(unread), "ConsistentRead": True}}


# --- exports -----------------------------------------------------------------------------------------------


def export(table: str, exports: str = "s3://bucket/exports/", **options: Any) -> str:
    defaults: dict[str, Any] = {"token": "t", "wait": lambda seconds: None, "progress": lambda arn, status: None}
    return request_export(table, exports, **(defaults | options))


def turn_on_recovery(client: Any, table: str) -> None:
    client.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )


def test_an_export_is_requested_and_waited_for(aws: MotoS3, client: Any, table: str) -> None:
    turn_on_recovery(client, table)
    bucket = aws.create_bucket()
    told: list[tuple[str, str]] = []
    requests = requests_of(client, "ExportTableToPointInTime")

    arn = export(
        table,
        f"s3://{bucket}/lake/exports/",
        client=client,
        token="one",
        progress=lambda arn, status: told.append((arn, status)),
    )

    assert requests == [
        {
            "TableArn": table_arn_of(table, client),
            "ClientToken": "one",
            "ExportType": "FULL_EXPORT",
            "ExportFormat": "DYNAMODB_JSON",
            "S3Bucket": bucket,
            "S3Prefix": "lake/exports",
        }
    ]
    assert told[-1] == (arn, "COMPLETED")
    assert client.describe_export(ExportArn=arn)["ExportDescription"]["ExportStatus"] == "COMPLETED"
    (stored,) = aws.client.list_objects_v2(Bucket=bucket)["Contents"]
    assert stored["Key"].startswith("lake/exports/AWSDynamoDB/")


@pytest.mark.parametrize("exports", ["s3://bucket", "s3://bucket/"])
def test_an_export_to_the_top_of_a_bucket_has_no_prefix(client: Any, table: str, exports: str) -> None:
    # moto cannot do without one
    answer(client, "ExportTableToPointInTime", {"ExportDescription": {"ExportArn": "a", "ExportStatus": "COMPLETED"}})
    requests = requests_of(client, "ExportTableToPointInTime")

    assert export(table, exports, client=client) == "a"

    assert "S3Prefix" not in requests[0]


def test_a_wait_that_raises_ends_the_waiting(aws: MotoS3, client: Any, table: str) -> None:
    turn_on_recovery(client, table)
    waited: list[float] = []

    def stop_at_the_third(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise Stopping

    def never_complete(reply: dict[str, Any]) -> None:
        reply["ExportDescription"]["ExportStatus"] = "IN_PROGRESS"

    for operation in ("ExportTableToPointInTime", "DescribeExport"):
        alter_replies(client, operation, never_complete)
    with pytest.raises(Stopping):
        export(table, f"s3://{aws.create_bucket()}/exports", client=client, wait=stop_at_the_third)
    assert waited == [15.0, 15.0, 15.0]


def test_an_export_that_fails_tells_the_code_and_the_reason(client: Any, table: str) -> None:
    turn_on_recovery(client, table)

    with pytest.raises(StoreDenied) as caught:
        export(table, "s3://no-such-bucket-anywhere/exports/", client=client)
    assert "S3NoSuchBucket: The specified bucket does not exist" in str(caught.value)
    assert "aws s3 mb s3://no-such-bucket-anywhere" in str(caught.value)


def test_a_table_without_recovery_says_how_to_turn_it_on(aws: MotoS3, table: str) -> None:
    with pytest.raises(StoreDenied, match=f"aws dynamodb update-continuous-backups --table-name {table} "):
        export(table, f"s3://{aws.create_bucket()}/exports")


@pytest.mark.parametrize("exports", ["file:///exports", "/exports", "s3://", "s3:///exports"])
def test_an_export_goes_to_s3_only(table: str, exports: str) -> None:
    with pytest.raises(UsageError, match="S3 only"):
        export(table, exports)

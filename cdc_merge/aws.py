"""What all requests to AWS have in common: how often they are tried, and how their errors are told apart."""

from __future__ import annotations

from collections.abc import Collection

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)

CONNECTIONS = 32  # the most requests one client has under way

RENEW = "renew the credentials: aws sso login, or a new role session"
WHO_AM_I = "see who you are: aws sts get-caller-identity"
NO_ANSWER = "look at the network, and at AWS_ENDPOINT_URL if it is set"

_BROKEN_OFF = (
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)


def client_config() -> Config:
    """How every client asks."""
    # "standard": exponential backoff with jitter and a retry quota, throttling included
    # https://docs.aws.amazon.com/boto3/latest/guide/retries.html
    return Config(
        retries={"mode": "standard", "total_max_attempts": 6},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=CONNECTIONS,
        user_agent_extra="cdc-merge",
    )


def is_broken_off(error: Exception) -> bool:
    """Whether the connection failed us, rather than the service."""
    return isinstance(error, _BROKEN_OFF)


def code_of(error: BotoCoreError | ClientError) -> str:
    """The code of what the service answered; empty: it did not, or has none."""
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""


def said(error: ClientError, service: str) -> str:
    """What the service answered, for messages."""
    return f"{service} says {code_of(error)}: {error.response.get('Error', {}).get('Message', '')}"


def is_busy(error: ClientError, codes: Collection[str]) -> bool:
    """Whether the service may answer otherwise later; `codes`: those by which it says so."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code_of(error) in codes or status >= 500 or status == 429

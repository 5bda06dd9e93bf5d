"""The warehouses that load and decode a feed's objects themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.s3 import s3_environment

_ON_THIS_MACHINE = pytest.mark.double("the feed's bucket is served on this machine")


@pytest.fixture(
    params=[
        pytest.param("redshift", marks=[pytest.mark.redshift, _ON_THIS_MACHINE]),
        pytest.param("snowflake", marks=[pytest.mark.snowflake, _ON_THIS_MACHINE]),
    ]
)
def raw_url(request: pytest.FixtureRequest, staging_endpoint: str) -> Iterator[str]:
    """The URL of an empty warehouse, on each of these engines in turn; S3 is where the engine finds it, too."""
    with s3_environment(staging_endpoint):
        yield request.getfixturevalue(f"{request.param}_url")

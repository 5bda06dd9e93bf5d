"""What the Data API refuses before it runs anything: each rule with its source."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.doubles.redshift.tokens import said, statements, tokens

_GUIDE = "https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html"
_REFERENCE = "https://docs.aws.amazon.com/redshift-data/latest/APIReference/API_ExecuteStatement.html"

MAX_STATEMENT_BYTES = 200_000  # 200 KB, "query statement size", by the smaller reading, and of all in a request: _GUIDE
MAX_STATEMENTS = 40
MAX_KEEP_SECONDS = 86_400
MAX_WAIT_SECONDS = 30
PLACE = ("ClusterIdentifier", "WorkgroupName", "Database", "DbUser", "SecretArn")

_CLUSTER = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TAKEN = frozenset(
    {
        *PLACE,
        *("Sql", "Sqls", "ClientToken", "Parameters", "SessionId", "SessionKeepAliveSeconds", "WaitTimeSeconds"),
    }
)


class Refused(Exception):
    """What the service answers instead; `code`: of the exception. `status`: of HTTP."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def invalid(message: str, source: str = _REFERENCE) -> Refused:
    return Refused("ValidationException", f"{message} [{source}]")


def check_statements(request: Mapping[str, Any]) -> list[str]:
    """The statements of an ExecuteStatement or BatchExecuteStatement. Raises Refused."""
    if unknown := request.keys() - _TAKEN:
        raise invalid(f"the double knows no {', '.join(sorted(unknown))}")
    sqls: Sequence[str] = [request["Sql"]] if "Sql" in request else request["Sqls"]
    if not 1 <= len(sqls) <= MAX_STATEMENTS:
        raise invalid(f"Sqls must have 1 to {MAX_STATEMENTS} members, not {len(sqls)}")
    if (size := sum(len(sql.encode()) for sql in sqls)) > MAX_STATEMENT_BYTES:
        raise invalid(f"the query statement has {size} bytes, more than {MAX_STATEMENT_BYTES}", _GUIDE)
    for sql in sqls:
        if not said(tokens(sql)):
            raise invalid("the statement is empty")
        if len(list(statements(tokens(sql)))) > 1:
            raise invalid("multi-statement sql is not supported by this API")
    _check_parameters(request)
    _check_place(request)
    _check_number(request, "SessionKeepAliveSeconds", 0, MAX_KEEP_SECONDS)
    _check_number(request, "WaitTimeSeconds", 1, MAX_WAIT_SECONDS)
    if not 1 <= len(request.get("ClientToken", "x")) <= 64:
        raise invalid("ClientToken must have 1 to 64 characters")
    return list(sqls)


def _check_parameters(request: Mapping[str, Any]) -> None:
    if "Parameters" not in request:
        return
    for parameter in request["Parameters"]:
        # NULL would be the text 'null', and what is empty fails:
        # https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html#data-api-calling-considerations-parameters
        if not parameter.get("value"):
            raise invalid(f"the parameter {parameter.get('name')!r} has no value", _GUIDE)
    raise invalid("the double puts in no parameters: cdc-merge sends none")


def _check_place(request: Mapping[str, Any]) -> None:
    if "SessionId" in request:
        if told := [name for name in PLACE if name in request]:
            raise invalid(f"with a SessionId there may be no {', '.join(told)}")
        return
    if "Database" not in request:
        raise invalid("Database is missing")
    if ("ClusterIdentifier" in request) == ("WorkgroupName" in request):
        raise invalid("there must be a ClusterIdentifier or a WorkgroupName")
    if "ClusterIdentifier" in request and not _CLUSTER.fullmatch(request["ClusterIdentifier"]):
        raise invalid("ClusterIdentifier has another pattern")
    if "DbUser" in request and ("WorkgroupName" in request or "SecretArn" in request):
        raise invalid("DbUser goes with a cluster and without a secret", _GUIDE)


def _check_number(request: Mapping[str, Any], name: str, least: int, most: int) -> None:
    if name in request and not least <= request[name] <= most:
        raise invalid(f"{name} must be {least} to {most}")


__all__ = ["MAX_STATEMENTS", "MAX_STATEMENT_BYTES", "Refused", "check_statements", "invalid"]

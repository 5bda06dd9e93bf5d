"""What may go wrong with a statement of the Data API, and what each asks for."""

from __future__ import annotations

import re

from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from cdc_merge.aws import NO_ANSWER, RENEW, WHO_AM_I, code_of, is_broken_off, is_busy, said
from cdc_merge.errors import CdcMergeError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.warehouses.discreet import without_values
from cdc_merge.warehouses.redshift_errors import reaction


class DataApiError(Exception):
    """`hint`: what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class SqlFailed(DataApiError):
    """The engine ran the statement, and says why it failed."""


class SessionGone(DataApiError):
    """The session takes no statement: it ended, or another runs in it. This one did not run."""


class Unanswered(DataApiError):
    """Whether the statement ran is not known; the session is of no use any more."""


class GivenUp(Unanswered):
    """We did not wait for its end, and had it cancelled."""


class Denied(DataApiError):
    """The service refuses, for a reason that trying again does not cure. The statement did not run."""


# https://docs.aws.amazon.com/redshift-data/latest/APIReference/CommonErrors.html
_BUSY = frozenset(
    {
        "ActiveSessionsExceededException",
        "ActiveStatementsExceededException",
        "ActiveWaitingRequestsExceededException",
        "DatabaseConnectionException",
        "ExecuteStatementException",
        "BatchExecuteStatementException",
        "InternalServerException",
        "QueryTimeoutException",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "RequestExpired",
    }
)
_HINTS = {
    "ActiveSessionsExceededException": "500 sessions are open; those that nobody uses end by themselves",
    "ActiveStatementsExceededException": "500 statements are under way; nothing to do unless it lasts",
    "AccessDeniedException": "allow the worker's role what docs/redshift.md lists under: The Data API, Permissions",
    "ExpiredTokenException": RENEW,
    "UnrecognizedClientException": RENEW,
}
_REGION = "add &region=… to the URL, or set AWS_DEFAULT_REGION"
_PLACE = "are cluster or workgroup, database and region of the URL right?"

_OF_PLACE = frozenset({"ValidationException", "ResourceNotFoundException"})

# "Session is not available" where it has ended, "Session with Id: … is invalid" where there never was one, and other
# words where it runs another statement: https://github.com/awslabs/mcp/issues/4587
_OF_SESSION = re.compile(r"\bsession\b", re.IGNORECASE)


def of_request(error: BotoCoreError | ClientError) -> DataApiError:
    """What a request that failed means."""
    if not isinstance(error, ClientError):
        if is_broken_off(error):
            return Unanswered(f"the Data API did not answer: {error}", hint=NO_ANSWER)
        return Denied(str(error), hint=_REGION if isinstance(error, NoRegionError) else WHO_AM_I)
    message, code = said(error, "the Data API"), code_of(error)
    if is_busy(error, _BUSY):
        return Unanswered(message, hint=_HINTS.get(code))
    if code == "ValidationException" and _OF_SESSION.search(message):
        return SessionGone(message)
    return Denied(message, hint=_HINTS.get(code, _PLACE if code in _OF_PLACE else WHO_AM_I))


# The engine's errors come as words alone, so the code is told from these; of Postgres' own words, in its order of
# errcodes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CODES = tuple(
    (re.compile(words, re.IGNORECASE), code)
    for words, code in (
        (r"^relation .* does not exist|^table .* (does not exist|not found)", "42P01"),
        (r"^column .* does not exist", "42703"),
        (r"^schema .* does not exist", "3F000"),
        (r"^permission denied|must be owner of", "42501"),
        (r"^syntax error at", "42601"),
        (r"^load into table .* failed", "XX000"),  # the values are in sys_load_error_detail
        (r"current transaction is aborted", "25P02"),
        (r"duplicate key value violates unique constraint \"?pg_", "23505"),
        (r"could not serialize|serializable isolation violation", "40001"),
        (r"deadlock detected", "40P01"),
        (r"too many connections|connection limit exceeded", "53300"),
        (r"cancel+ed on user'?s request|cancel+ing statement|was cancel+ed", "57014"),
        (r"terminating connection|is shutting down|is starting up|in recovery mode", "57P01"),
        (r"connection .*(refused|reset|closed|timed out|lost|fail)|could not connect|broken pipe", "08006"),
    )
)
_OF_CONNECTION = frozenset({"08006", "57P01"})
_NAMES_THINGS = frozenset({"42P01", "42703", "3F000", "42501", "42601", "XX000"})

# https://docs.aws.amazon.com/redshift/latest/mgmt/data-api-troubleshooting.html
_TOO_LARGE = re.compile(r"packet for query is too large|exceeded size limit", re.IGNORECASE)
_LARGE_HINT = "a row of a result has 64 KB at most over the Data API: use redshift:// for this"


def asks_for(error: DataApiError, label: str) -> CdcMergeError:
    """What an error asks for, with the statement's label as its place."""
    message = str(error)
    if isinstance(error, Denied):
        return WarehouseRefused(message, where=label, hint=error.hint)
    if not isinstance(error, SqlFailed):
        return WarehouseUnavailable(message, where=label, hint=error.hint)
    # The detail and the context that follow may quote rows, and so may the message itself, unless it is of names.
    first, code = _read(message)
    if _TOO_LARGE.search(first):
        return WarehouseRefused(first, where=label, hint=_LARGE_HINT)
    shown = first if code in _NAMES_THINGS else without_values(first)
    return reaction(code, shown, label, said=message)


def is_of_connection(error: SqlFailed) -> bool:
    """Whether the service has lost the database, so that the session is of no use, whatever it says."""
    return _read(str(error))[1] in _OF_CONNECTION


def _read(message: str) -> tuple[str, str]:
    """What the engine says first, and the code that it would have for it."""
    first = message.partition("\n")[0].removeprefix("ERROR:").strip()
    return first, next((code for words, code in _CODES if words.search(first)), "")


__all__ = [
    "DataApiError",
    "Denied",
    "GivenUp",
    "SessionGone",
    "SqlFailed",
    "Unanswered",
    "asks_for",
    "is_of_connection",
    "of_request",
]

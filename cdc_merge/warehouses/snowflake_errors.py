"""What an error of Snowflake's driver asks for: another try, or a person."""

from __future__ import annotations

from snowflake.connector.errors import Error as DriverError
from snowflake.connector.errors import InterfaceError, InternalServerError, OperationalError, ServiceUnavailableError

from cdc_merge.errors import CdcMergeError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.warehouses.discreet import without_values

# Classes of SQLSTATE that time may cure: connection, rollback (deadlock), resources, intervention (57014: canceled, a
# lock that was not released, a timeout), system. Snowflake has no list of its errors; these are the standard's classes.
_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})

# By number, where the class says nothing: 604 canceled, 625 and 630 timeouts, 608 a warehouse that is changing,
# 390195 a service that cannot answer now. (606, no warehouse, is for a person: see below.)
_ENDED_SESSION = frozenset({390111, 390112, 390114})
_PASSING_NUMBERS = _ENDED_SESSION | {604, 608, 625, 630, 390195}

# The driver's own numbers of failures of the network: 25xxxx.
# https://github.com/snowflakedb/snowflake-connector-python/blob/main/src/snowflake/connector/errorcode.py
_NETWORK = range(250_001, 253_000)
_NOT_LET_IN = ("incorrect username or password", "jwt token is invalid", "user access disabled")

_DATA_EXCEPTION = "22"  # the standard's class, too: such messages quote the value

_HINTS = {
    606: "name a warehouse in the URL: ?warehouse=…, and GRANT USAGE ON WAREHOUSE to the role",
    904: "was the column dropped or renamed? see: cdc-merge plan",
    2003: "was it dropped or renamed, or may the role not see it? see: cdc-merge plan; metadata: cdc-merge migrate",
    2043: "was it dropped or renamed, or may the role not see it? see: cdc-merge plan",
    3001: "GRANT the worker's role what the statement needs; see: docs/snowflake.md",
}


def reaction(error: Exception, where: str) -> CdcMergeError:
    """What a driver's error asks for. `where`: the label of a statement, or the warehouse's name."""
    message = _text(error)
    if isinstance(error, DriverError) and (error.sqlstate or "").startswith(_DATA_EXCEPTION):
        message = without_values(message)
    if not isinstance(error, DriverError):
        return WarehouseRefused(message, where=where, hint="can the file of private_key_path be read?")
    if any(words in message.lower() for words in _NOT_LET_IN):
        return WarehouseRefused(message, where=where, hint="check the user, and its key or password")
    if _is_passing(error):
        return WarehouseUnavailable(message, where=where)
    return WarehouseRefused(message, where=where, hint=_HINTS.get(error.errno or 0))


def has_lost_session(error: DriverError) -> bool:
    """Whether the connection is of no use any more."""
    return (error.errno or 0) in _ENDED_SESSION or _is_of_network(error)


def _is_passing(error: DriverError) -> bool:
    number, state = error.errno or 0, error.sqlstate or ""
    return number in _PASSING_NUMBERS or state[:2] in _PASSING_CLASSES or _is_of_network(error)


def _is_of_network(error: DriverError) -> bool:
    kinds = OperationalError | InterfaceError | InternalServerError | ServiceUnavailableError
    return isinstance(error, kinds) and (
        (error.errno or 0) in _NETWORK or not error.sqlstate or error.sqlstate == "n/a"
    )


def _text(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).removeprefix("None: ")


__all__ = ["has_lost_session", "reaction"]

"""Proves, once in a process, what the worker relies on and no page of AWS promises in so many words."""

from __future__ import annotations

import uuid
from threading import Lock
from typing import Protocol

from cdc_merge.warehouses import Row
from cdc_merge.warehouses.redshift_data_errors import Denied
from cdc_merge.warehouses.redshift_data_values import VARBYTE_FORMS, FromText

_TEXT = ":n ? %s $1"
_HINT = "use redshift://, and tell us: docs/redshift.md says what was relied on"


class Session(Protocol):
    """What a proof needs of a session; each may raise DataApiError."""

    def begin(self) -> None: ...
    def roll_back(self) -> None: ...
    def affected(self, sql: str) -> int: ...
    def fetch(self, sql: str) -> list[Row]: ...

    def fetch_as_it_comes(self, sql: str) -> list[Row]:
        """Rows in which a VARBYTE is the text that the service gives."""


class Proof:
    """Remembers what was proved; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._spans = False
        self._varbyte: FromText | None = None

    def of_transactions(self, session: Session) -> None:
        """That BEGIN holds until ROLLBACK over several requests, that the rows of an UPDATE are counted, and that a
        text which looks like a parameter stays as it is where there is none.

        Without the first a merge would be there in part, without the second no lease would hold. Raises Denied.
        """
        with self._lock:
            if self._spans:
                return
            table = f"_cdc_proof_{uuid.uuid4().hex}"
            session.begin()
            session.affected(f"CREATE TEMPORARY TABLE {table} AS SELECT 1 AS n UNION ALL SELECT 2")
            counted = [session.affected(f"UPDATE {table} SET n = 3 WHERE n = {n}") for n in (1, 9)]
            session.roll_back()
            ((left, text),) = session.fetch(
                f"SELECT count(*), CAST('{_TEXT}' AS VARCHAR(10)) FROM pg_class WHERE relname = '{table}'"
            )
            if left != 0:
                raise Denied("a transaction does not last from one statement of a session to the next", hint=_HINT)
            if counted != [1, 0]:
                raise Denied(f"updates of 1 row and of none were counted as {counted}", hint=_HINT)
            if text != _TEXT:
                raise Denied(f"the text {_TEXT!r} came back as {text!r}", hint=_HINT)
            self._spans = True

    def of_varbyte(self, session: Session) -> FromText:
        """What reads a VARBYTE: the form in which two known bytes come. Raises Denied."""
        with self._lock:
            if self._varbyte is None:
                ((text,),) = session.fetch_as_it_comes(f"SELECT TO_VARBYTE('{_KNOWN.hex()}', 'hex')")
                self._varbyte = next((form for form in VARBYTE_FORMS if _reads(form, text)), None)
                if self._varbyte is None:
                    raise Denied(f"the VARBYTE {_KNOWN.hex()} came as {text!r}", hint=_HINT)
            return self._varbyte


_KNOWN = b"\x00\xff"


def _reads(form: FromText, text: str) -> bool:
    try:
        return bool(form(text) == _KNOWN)
    except ValueError:
        return False


__all__ = ["Proof", "Session"]

"""Turns a statement of Redshift into what the Postgres behind the double must run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from tests.doubles.redshift.copy import CopyCommand, DynamoDBCommand, read_copy
from tests.doubles.redshift.documents import JsonCommand
from tests.doubles.redshift.refusals import MAX_STATEMENT_BYTES, Refused, refuse
from tests.doubles.redshift.tokens import Is, Token, joined, spelled, statements, tokens

OWN = "redshift_double"
_OWN_FUNCTIONS = frozenset(
    {
        *("GETDATE", "DATEADD", "JSON_PARSE", "JSON_SERIALIZE", "JSON_SIZE", "JSON_TYPEOF", "GET_NUMBER_ATTRIBUTES"),
        *("SHA2", "TO_VARBYTE", "TO_HEX"),
    }
)
_OWN_VIEWS = frozenset({"SVV_COLUMNS", "SVV_RELATION_PRIVILEGES", "SYS_LOAD_DETAIL"})
_SIZED = {"VARCHAR": "varchar", "VARBYTE": "varbyte"}
# https://docs.aws.amazon.com/redshift/latest/dg/r_enable_case_sensitive_identifier.html
_SETTING = re.compile(
    r"(SET|RESET) (ENABLE_CASE_SENSITIVE_IDENTIFIER|ENABLE_CASE_SENSITIVE_SUPER_ATTRIBUTE)( TO TRUE)? "
)
# https://docs.aws.amazon.com/redshift/latest/dg/super-configurations.html
_PARSING = re.compile(
    r"SET (JSON_PARSE_DEDUP_ATTRIBUTES|JSON_PARSE_TRUNCATE_STRINGS|PARSE_SUPER_NULL_ON_ERROR) TO (ON|OFF) "
)
# https://docs.aws.amazon.com/redshift/latest/dg/query-super.html#unpivoting
_UNPIVOT = re.compile(r"(?i),\s*UNPIVOT\s+(\w+\.\w+)\s+AS\s+(\w+)\s+AT\s+(\w+)")
_TARGET = re.compile(r'(?:"(?:[^"]|"")*"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")*"|[\w$]+))?')
_VACUUM = re.compile(rf"(?is)VACUUM\s+FULL\s+({_TARGET.pattern})\s+TO\s+(?:100|[1-9]?[0-9])\s+PERCENT")


@dataclass(frozen=True)
class Translated:
    """`first`: what goes before, unseen; `sql`: what the client sees the answer of. `copy`: done by the double itself.

    `last`: what goes after, unseen.
    """

    sql: str
    first: tuple[str, ...] = ()
    copy: CopyCommand | DynamoDBCommand | JsonCommand | None = None
    last: tuple[str, ...] = field(default=())


@lru_cache(1024)
def translate(sql: str, *, copied: int, copies: int = 0) -> tuple[Translated, ...]:
    """The statements of one query. `copied`: rows of the last COPY of the session; `copies`: how many there were.

    Raises Refused.
    """
    if len(sql.encode()) > MAX_STATEMENT_BYTES:
        raise Refused("Statement is too large", "54000")
    return tuple(_one(parts, _Copied(copied, copies)) for parts in statements(tokens(sql)))


@dataclass(frozen=True)
class _Copied:
    rows: int = 0
    number: int = 0  # of the last COPY


def _one(parts: list[Token], copied: _Copied) -> Translated:
    words = spelled(parts)
    if words.startswith("COPY "):
        return Translated("", copy=read_copy(joined(parts)))
    if words.startswith("VACUUM "):
        return _vacuum(joined(parts))
    if parsing := _PARSING.fullmatch(words):
        return Translated(f"SET {OWN}.{parsing[1].lower()} TO {parsing[2].lower()}")
    refuse(parts)
    if words.startswith("CREATE ") and " TABLE " in words[:40]:
        parts = _without_placing(_without_keys(parts))
    if setting := _SETTING.fullmatch(words):
        verb, name, value = setting.groups()
        return Translated(f"{verb} {OWN}.{name.lower()}{(value or '').lower()}")
    if " UNPIVOT " in words:
        parts = tokens(_UNPIVOT.sub(rf" CROSS JOIN LATERAL {OWN}.unpivot(\1) AS unpivoted(\2, \3)", joined(parts)))
    text = joined(_renamed(parts, copied))
    if words.startswith("BEGIN "):
        # One moment for all of a transaction, taken by its first statement but for LOCK: c_serial_isolation.html and
        # https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
        return Translated("BEGIN ISOLATION LEVEL REPEATABLE READ")
    if words == "SET SEARCH_PATH TO PG_CATALOG ":
        return Translated("SET search_path TO pg_temp, pg_catalog")
    if words.startswith("TRUNCATE "):
        # It commits: https://docs.aws.amazon.com/redshift/latest/dg/r_TRUNCATE.html
        return Translated(text, last=("COMMIT",))
    if match := re.match(r"(?s)\s*ALTER\s+TABLE\s+(\S+)\s+APPEND\s+FROM\s+(\S+)\s*$", text, re.IGNORECASE):
        # It moves the rows, commits, and is not run in a transaction: r_ALTER_TABLE_APPEND.html
        target, source = match.groups()
        return Translated(
            f"INSERT INTO {target} SELECT * FROM {source}",
            first=("VACUUM pg_catalog.pg_am",),
            last=(f"DELETE FROM {source}",),
        )
    if words.startswith(("UPDATE ", "DELETE ")):
        return Translated(text, first=_table_lock(parts))
    return Translated(text)


def _vacuum(text: str) -> Translated:
    """No transaction may have it, as on Postgres: https://docs.aws.amazon.com/redshift/latest/dg/r_VACUUM_command.html"""
    match = _VACUUM.fullmatch(text.strip())
    if not match:
        raise Refused(f"syntax error: {text}", "42601")
    return Translated(f"VACUUM {match[1]}")


def _table_lock(parts: Sequence[Token]) -> tuple[str, ...]:
    """A write takes the whole table: https://docs.aws.amazon.com/redshift/latest/dg/c_write_readwrite.html

    First the moment is taken, so that what another transaction commits during the wait is a conflict.
    """
    text = joined([t for t in _renamed(parts, _Copied()) if not t.text.startswith(("--", "/*"))])
    match = _TARGET.search(text, re.search(r"(?i)\b(UPDATE|FROM|DELETE)\b(\s+FROM\b)?", text).end())  # type: ignore[union-attr]
    assert match, text
    return ("SELECT 1", f"LOCK TABLE {match[0]} IN SHARE ROW EXCLUSIVE MODE")


def _without_keys(parts: list[Token]) -> list[Token]:
    """Keys are declared and not enforced: c_unsupported-postgresql-features.html"""
    text = joined(parts)
    text = re.sub(r"(?is),\s*PRIMARY\s+KEY\s*\([^)]*\)", "", text)
    text = re.sub(r"(?i)\s+PRIMARY\s+KEY\b", "", text)
    return tokens(text)


def _without_placing(parts: list[Token]) -> list[Token]:
    """Where rows lie, how they are sorted and encoded is nothing to Postgres: r_CREATE_TABLE_NEW.html"""
    text = joined(parts)
    text = re.sub(r"(?i)\bDISTSTYLE\s+(AUTO|EVEN|KEY|ALL)\b", "", text)
    text = re.sub(r"(?i)\b(DISTKEY|(COMPOUND\s+)?SORTKEY)\s*\([^)]*\)", "", text)
    text = re.sub(r"(?i)\bENCODE\s+\w+", "", text)
    return tokens(text)


def _renamed(parts: Sequence[Token], copied: _Copied) -> list[Token]:
    found: list[Token] = []
    places = [i for i, t in enumerate(parts) if t.kind is not Is.SPACE]
    following = dict(zip(places, [*places[1:], None], strict=True))
    skip: set[int] = set()
    for i, token in enumerate(parts):
        if i in skip:
            continue
        after = parts[n] if (n := following.get(i)) is not None else None
        if (way := _navigation(parts, i)) is not None:
            text, end = way
            skip.update(range(i + 1, end))
            found.append(Token(Is.WORD, text))
        elif token.kind is Is.NAME:
            found.append(Token(Is.NAME, token.text.lower()))  # folded, quoted or not: r_names.html
        elif token.kind is Is.WORD:
            found.append(_word(parts, i, following, skip, after, copied))
        else:
            found.append(token)
    return found


def _navigation(parts: Sequence[Token], start: int) -> tuple[str, int] | None:
    """A way into a SUPER, `alias.column."member"[0]`, as a call; and where it ends. None: there is none.

    https://docs.aws.amazon.com/redshift/latest/dg/query-super.html#navigation
    """
    shapes = [t.kind for t in parts[start : start + 3]]
    if shapes != [Is.WORD, Is.SIGN, Is.WORD] or parts[start + 1].text != ".":
        return None
    steps, at = list[str | int](), start + 3
    while at < len(parts):
        if parts[at].text == "." and parts[at + 1].kind is Is.NAME:
            steps.append(parts[at + 1].text[1:-1].replace('""', '"'))
            at += 2
        elif parts[at].text == "[" and parts[at + 1].kind is Is.NUMBER and parts[at + 2].text == "]":
            steps.append(int(parts[at + 1].text))
            at += 3
        else:
            break
    if not steps:
        return None
    path = json.dumps(steps).replace("'", "''")
    return f"{OWN}.navigate({joined(parts[start : start + 3])}, '{path}')", at


def _word(
    parts: Sequence[Token],
    i: int,
    following: dict[int, int | None],
    skip: set[int],
    after: Token | None,
    copied: _Copied,
) -> Token:
    token = parts[i]
    word, is_call = token.word, after is not None and after.text == "("
    if word in _SIZED and is_call:
        places = [i]
        while (n := following[places[-1]]) is not None and len(places) < 4:
            places.append(n)
        size = parts[places[2]].text
        skip.update(range(i + 1, places[3] + 1))
        return Token(Is.WORD, f"{OWN}.{_SIZED[word]}_{size}")
    if word == "SUPER":
        return Token(Is.WORD, "jsonb")
    if word == "COLLATE":
        n = following[i]
        assert n is not None
        if parts[n].word not in ("CASE_SENSITIVE", "CS"):
            raise Refused(f"the double knows no collation {parts[n].text}")
        skip.add(n)
        return Token(Is.SPACE, "")  # it is in the domain
    if word in ("PG_LAST_COPY_COUNT", "PG_LAST_COPY_ID") and is_call:
        places = [i]
        while (n := following[places[-1]]) is not None and len(places) < 3:
            places.append(n)
        skip.update(range(i + 1, places[2] + 1))
        return Token(Is.NUMBER, str(copied.rows if word == "PG_LAST_COPY_COUNT" else copied.number))
    if word == "DATEADD" and is_call:
        opening = following[i]
        assert opening is not None
        part = following[opening]
        assert part is not None
        skip.update(range(i + 1, part + 1))
        return Token(Is.WORD, f"{OWN}.dateadd('{parts[part].text}'")
    if (word in _OWN_FUNCTIONS and is_call) or word in _OWN_VIEWS:
        return Token(Is.WORD, f"{OWN}.{token.text}")
    return token


__all__ = ["OWN", "Translated", "translate"]

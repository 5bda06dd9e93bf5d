"""One typed DynamoDB value at a time, in plain Python: exact, and the slow road of plain.py.

A typed value is an object with one tag: `{"S":"x"}`, `{"N":"1"}`, `{"M":{"a":{"BOOL":true}}}`.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from decimal import Decimal, InvalidOperation

import msgspec

_SPACE = r"[ \t\n\r]*+"
_STRING = r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_TAG = re.compile(rf'{_SPACE}\{{{_SPACE}"(S|N|B|BOOL|NULL|M|L|SS|NS|BS)"{_SPACE}:{_SPACE}')
_TEXT = re.compile(_STRING)
_KEY = re.compile(rf"{_SPACE}({_STRING}){_SPACE}:")
_MARK = re.compile(rf"{_SPACE}([\[\]{{}},])")
_END = re.compile(_SPACE)
_LITERAL = re.compile("true|false")
_SET = re.compile(rf"\[{_SPACE}((?:{_STRING}{_SPACE}(?:,{_SPACE}{_STRING}{_SPACE})*+)?+)\]")
_TOKEN = re.compile(rf"{_STRING}|[\[\]{{}},]")
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:([eE][+-]?[0-9]+))?")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# A whole value that is one set, without escapes: the usual set column, worth a short cut.
_WHOLE_SET = re.compile(r'\{"(SS|NS|BS)":\["([^"\\\x00-\x1f]*(?:","[^"\\\x00-\x1f]*)*)"\]\}')
# A B or BS wrapper. Inside a string quotes are escaped, so neither is found there.
_BINARY = re.compile(rf'(\{{{_SPACE}"B"{_SPACE}:{_SPACE}")([A-Za-z0-9+/=\\]*+)"')
_BINARY_SET = re.compile(rf'(\{{{_SPACE}"BS"{_SPACE}:{_SPACE}\[)([A-Za-z0-9+/=\\", \t\n\r]*+)(?=\])')
_HAS_ORDER = re.compile(r'\{\s*"(?:M|SS|NS|BS)"')
_BINARY_ELEMENT = re.compile(r'(")([^"]*+)"')

_IMAGE = msgspec.json.Decoder(dict[str, msgspec.Raw])

MAX_NUMBER_LENGTH = 1_000
MAX_EXPONENT = 400


class Malformed(ValueError):
    """Not a typed DynamoDB value. Never leaves this module and plain.py: the value becomes NULL there."""


def plain_value(text: str | None, *, base64_layers: int = 1) -> str | None:
    """Plain JSON text of one typed value's JSON text; None if it is malformed. See plain.plain_json."""
    if not text:
        return None
    try:
        whole = _WHOLE_SET.fullmatch(text)
        if whole:
            elements = whole[2].split('","')
            if whole[1] == "SS":
                return '["' + '","'.join(sorted(elements)) + '"]'
            return _sorted_set(whole[1], [f'"{each}"' for each in elements], base64_layers)
        return _walk(text, base64_layers)
    except Malformed:
        return None


def _walk(text: str, layers: int) -> str:
    """Left to right with a stack of its own: Python's would end after some hundred levels."""
    out: list[str] = []
    closers: list[str] = []
    at = 0
    while True:
        tag, at = _tag(text, at)
        mark = text[at : at + 1]
        if tag in ("M", "L"):
            opener, closer = "{}" if tag == "M" else "[]"
            if mark != opener:
                raise Malformed
            out.append(opener)
            inner, after = _mark(text, at + 1)
            if inner != closer:
                closers.append(closer)
                at = _member(text, at + 1, closer, out)
                continue
            out.append(closer)
            at = after
        else:
            piece, at = _scalar(tag, text, at, layers)
            out.append(piece)
        at = _expect("}", text, at)
        while closers:
            mark, at = _mark(text, at)
            if mark == ",":
                out.append(",")
                at = _member(text, at, closers[-1], out)
                break
            if mark != closers[-1]:
                raise Malformed
            out.append(closers.pop())
            at = _expect("}", text, at)
        else:
            end = _END.match(text, at)
            if end is None or end.end() != len(text):
                raise Malformed
            return "".join(out)


def _tag(text: str, at: int) -> tuple[str, int]:
    found = _TAG.match(text, at)
    if not found:
        raise Malformed
    return found[1], found.end()


def _mark(text: str, at: int) -> tuple[str, int]:
    found = _MARK.match(text, at)
    return (found[1], found.end()) if found else ("", at)


def _expect(mark: str, text: str, at: int) -> int:
    found, at = _mark(text, at)
    if found != mark:
        raise Malformed
    return at


def _member(text: str, at: int, closer: str, out: list[str]) -> int:
    """In a map, take over the key and its colon; in a list there is nothing before the value."""
    if closer == "]":
        return at
    key = _KEY.match(text, at)
    if not key:
        raise Malformed
    out.append(key[1] + ":")
    return key.end()


def _scalar(tag: str, text: str, at: int, layers: int) -> tuple[str, int]:
    if tag in ("SS", "NS", "BS"):
        found = _SET.match(text, at)
        if not found:
            raise Malformed
        return _sorted_set(tag, _TEXT.findall(found[1]), layers), found.end()
    found = (_LITERAL if tag in ("BOOL", "NULL") else _TEXT).match(text, at)
    if not found:
        raise Malformed
    payload = found[0]
    if tag == "N":
        payload = json_number(_string(payload))
    elif tag == "NULL":
        if payload != "true":
            raise Malformed
        payload = "null"
    elif tag == "B" and layers == 2:
        payload = f'"{_one_layer(_string(payload))}"'
    return payload, found.end()


def _sorted_set(tag: str, elements: list[str], layers: int) -> str:
    """DynamoDB keeps no order in a set, so the text gets one: two equal sets are one text."""
    if tag == "NS":
        elements = sorted((json_number(_string(each)) for each in elements), key=_numeric)
    elif tag == "BS":
        inner = [_string(each) for each in elements]
        if layers == 2:
            inner = [_one_layer(each) for each in inner]
        elements = [f'"{each}"' for each in sorted(inner, key=_decode)]
    else:
        elements = sorted(elements, key=_string)  # by code points, which is the order of UTF-8
    return f"[{','.join(elements)}]"


def _string(token: str) -> str:
    return json.loads(token) if "\\" in token else token[1:-1]


def _numeric(number: str) -> tuple[Decimal, str]:
    try:
        return Decimal(number), number
    except InvalidOperation as error:
        raise Malformed from error


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Malformed from error


def _one_layer(text: str) -> str:
    """Base64 of base64, as a Kinesis stream has it, to base64.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html
    """
    inner = _decode(text)
    _decode(inner.decode("latin-1"))
    return inner.decode("ascii")


def single_base64(text: str) -> str:
    """Bring each twice encoded B and BS of a typed value to one layer; what is no base64 stays."""
    text = _BINARY.sub(_relayered, text)
    return _BINARY_SET.sub(lambda found: found[1] + _BINARY_ELEMENT.sub(_relayered, found[2]), text)


def _relayered(found: re.Match[str]) -> str:
    try:
        inner = _one_layer(found[2].replace("\\/", "/"))
    except Malformed:
        return found[0]
    return f'{found[1]}{inner}"'


def canonical_order(text: str) -> str:
    """A typed value's JSON text with the keys of its maps, and the elements of its sets, in a fixed order.

    DynamoDB keeps neither order, so the same item may come written in two ways. What is no typed value stays as it is.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
    """
    if not _HAS_ORDER.search(text):
        return text
    try:
        ordered = json.dumps(_ordered(_loads(text)), ensure_ascii=False, separators=(",", ":"))
        ordered.encode()
    except (ValueError, RecursionError):  # twice the same key, a lone surrogate, too deep: nothing DynamoDB writes
        return text
    return ordered


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Malformed
    return found


def _loads(text: str) -> object:
    return json.loads(text, object_pairs_hook=_unique)


def _ordered(typed: object) -> object:
    match typed:
        case {"M": dict(members)}:
            return {"M": {name: _ordered(members[name]) for name in sorted(members)}}
        case {"L": list(elements)}:
            return {"L": [_ordered(element) for element in elements]}
        case {"SS": list(elements)}:
            return {"SS": sorted(elements, key=str)}
        case {"BS": list(elements)}:
            return {"BS": sorted(elements, key=str)}
        case {"NS": list(elements)}:
            return {"NS": sorted(elements, key=lambda each: _numeric(str(each)))}
    return typed


def attributes_of(image: str | None) -> dict[str, bytes]:
    """The typed values of an image by attribute, each as its JSON text; none if it is no JSON object."""
    if image is None:
        return {}
    try:
        return {name: bytes(value) for name, value in _IMAGE.decode(image).items()}
    except msgspec.DecodeError:
        return {}
    except RecursionError:  # at some hundred levels; DynamoDB has 32
        return {name: value.encode() for name, value in _members(image).items()}


def _members(text: str) -> dict[str, str]:
    """Each value's text of a JSON object, however deep, by its name; empty if it is none."""
    found: dict[str, str] = {}
    mark, at = _mark(text, 0)
    while mark in ("{", ","):
        key = _KEY.match(text, at)
        if not key:
            break
        start = at = key.end()
        depth = 0
        for token in _TOKEN.finditer(text, start):
            at = token.start()
            if depth == 0 and token[0] in ("}", ","):
                break
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        found[_string(key[1])] = text[start:at].strip(" \t\n\r")
        mark, at = _mark(text, at)
    return found if mark == "}" and not text[at:].strip(" \t\n\r") else {}


def json_number(text: str) -> str:
    """The number with the digits given; only what JSON cannot say (`+1`, `.5`, `007`) is mended.

    Raises Malformed for no number, and for one beyond all use: a warehouse could refuse the whole row.
    """
    sign, whole, fraction, exponent = _parts(text)
    if _JSON_NUMBER.fullmatch(text):
        return text
    point = f".{fraction}" if fraction else ""
    return f"{'-' if sign == '-' else ''}{whole.lstrip('0') or '0'}{point}{exponent}"


def plain_number(text: str) -> str | None:
    """Decimal notation without exponent or needless zeros; None if no number, or beyond all use."""
    try:
        sign, whole, fraction, exponent = _parts(text)
    except Malformed:
        return None
    shift = int(exponent[1:] or 0)
    digits = whole + fraction
    point = len(whole) + shift
    digits = "0" * -point + digits + "0" * (point - len(digits))
    point = max(point, 0)
    whole, fraction = digits[:point].lstrip("0") or "0", digits[point:].rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return f"-{number}" if sign == "-" and number != "0" else number


def _parts(text: str) -> tuple[str, str, str, str]:
    """Sign, whole digits, decimals, exponent with its `e`; any of them may be empty, but not both digits.

    DynamoDB has 38 digits and exponents up to 125. Postgres' numeric, and so jsonb, ends at 131,072 digits before
    and 16,383 after the point: https://www.postgresql.org/docs/current/datatype-numeric.html
    """
    found = _NUMBER.fullmatch(text) if len(text) <= MAX_NUMBER_LENGTH else None
    if not found or not (found[2] or found[3]):
        raise Malformed
    if found[4] and abs(int(found[4][1:])) > MAX_EXPONENT:
        raise Malformed
    return found[1], found[2], found[3] or "", found[4] or ""

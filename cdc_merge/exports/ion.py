"""Turns the Ion text of an export into the DynamoDB JSON that the same export would have had.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from decimal import Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from isal import igzip

from cdc_merge.errors import Refused, UnreadableObject, UsageError, how_to_install
from cdc_merge.exports.manifest import TAKE_ANEW
from cdc_merge.feed.compression import Reader, open_plain

if TYPE_CHECKING:
    from types import ModuleType

_READ_BYTES = 2**20
_LINE_BYTES = 2**24  # an item has 400 KB at most, and a record three images of it
_IMAGES = ("Keys", "NewImage", "OldImage")
# Numbers are never rounded: DynamoDB's have 38 digits at most, and an Ion decimal is as long as its text.
_EXACT = Context(prec=10_000, Emin=-999_999, Emax=999_999)


def require_ion() -> ModuleType:
    """The Ion library, which comes with an extra. Raises UsageError without it."""
    try:
        from amazon.ion import simpleion  # here: only exports in Ion need it
    except ImportError as error:
        raise UsageError(
            "the export is in Ion, and the library that reads Ion is not installed",
            hint=how_to_install("ion"),
        ) from error
    return simpleion  # type: ignore[no-any-return]


def convert(source: Path, target: Path, *, where: str) -> int:
    """Write the records of `source` as lines of DynamoDB JSON; returns how many there were.

    `source` may be compressed or not; `target` is compressed if its name ends in .gz. One record is held at a time.
    Raises Refused, naming `where`, for what is not an export's Ion, and UsageError without the extra.
    """
    require_ion()
    opened = igzip.open(target, "wb", compresslevel=1) if target.suffix == ".gz" else target.open("wb")
    count = 0
    try:
        with opened as out, open_plain(source) as reader:
            for line in to_json_lines(io.BufferedReader(_Raw(reader), _READ_BYTES), where=where):
                out.write(line)
                count += 1
    except UnreadableObject as error:
        raise Refused(f"the file cannot be read: {error.message}", where=where, hint=TAKE_ANEW) from error
    return count


def to_json_lines(ion: io.BufferedIOBase, *, where: str) -> Iterator[bytes]:
    """Each line of an Ion text, which is a record, as a line of DynamoDB JSON, read as it is asked for."""
    simpleion = require_ion()
    from amazon.ion.exceptions import IonException

    model = simpleion.IonPyValueModel.MAY_BE_BARE | simpleion.IonPyValueModel.STRUCT_AS_STD_DICT
    number = 0
    while line := ion.readline(_LINE_BYTES):
        number += 1
        try:
            if len(line) == _LINE_BYTES:
                raise _NotDynamoDB(f"it is longer than {_LINE_BYTES:,} bytes")
            # without the limit the library stops at texts of about 64 KB, and an attribute may have 400
            records = simpleion.loads(line, single_value=False, value_model=model, text_buffer_size_limit=_LINE_BYTES)
            if len(records) > 1:
                raise _NotDynamoDB(f"there are {len(records):,} values in it")
            for record in records:  # none in an empty line
                yield msgspec.json.encode(_record(record)) + b"\n"
        except (_NotDynamoDB, IonException) as error:
            raise Refused(
                f"the line is not an item in Ion: {error}", where=f"{where}:{number}", hint=TAKE_ANEW
            ) from error


class _NotDynamoDB(Exception):
    """A value that DynamoDB does not write."""


class _Raw(io.RawIOBase):
    """A reader of plain bytes, as Python's own buffers want it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._reader.readinto(memoryview(buffer).cast("B"))


def _record(record: Any) -> dict[str, Any]:
    match record:
        case {"Item": dict(item), **others} if not others:
            return {"Item": _attributes(item)}
        case {"Record": {"Keys": dict(), "Metadata": dict(metadata), **rest}, **others} if not others:
            images: dict[Any, Any] = {"Keys": record["Record"]["Keys"], **rest}
            if not images.keys() <= set(_IMAGES) or not all(isinstance(image, dict) for image in images.values()):
                raise _NotDynamoDB(f"its Record has {', '.join(images)}")
            return {
                "Metadata": {name: _metadata(value) for name, value in metadata.items()},
                **{name: _attributes(images[name]) for name in _IMAGES if name in images},
            }
    raise _NotDynamoDB("it is neither {Item:{...}} nor {Record:{Keys:{...},Metadata:{...}}}")


def _metadata(value: Any) -> Any:
    """WriteTimestampMicros: a decimal is written as JSON exports have it, as {"N": ...}; text stays text."""
    return value if type(value) is str else _typed(value)


def _attributes(item: dict[str, Any]) -> dict[str, Any]:
    return {name: _typed(value) for name, value in item.items()}


def _typed(value: Any) -> dict[str, Any]:
    convert_plain = _PLAIN.get(type(value))
    return convert_plain(value) if convert_plain else _annotated(value)


def _annotated(value: Any) -> dict[str, Any]:
    """A set; it is what the library does not give as a plain Python value."""
    names = [annotation.text for annotation in getattr(value, "ion_annotations", ())]
    kind = _SETS.get(names[0]) if len(names) == 1 else None
    if kind is None or not isinstance(value, list):
        shown = "::".join([*names, getattr(getattr(value, "ion_type", None), "name", type(value).__name__)])
        raise _NotDynamoDB(f"there is a value of type {shown}")
    elements = [_typed(each) for each in value]
    if any(kind[0] not in each for each in elements):
        raise _NotDynamoDB(f"a set of type {kind} has elements of another type")
    return {kind: [each[kind[0]] for each in elements]}


def _number(value: Decimal | int) -> str:
    """As DynamoDB writes numbers: in plain digits however many, without zeros that say nothing.

    A text column and `_cdc_rescued` hold a number as it was written, so an export must spell it as the feed does. The
    zeros: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
    That there is never an exponent is how AWS's DynamoDB Local answers, in streams and reads alike.
    """
    number = _EXACT.create_decimal(value).normalize(_EXACT)
    return format(number, "f") if number else "0"  # -0 too


_SETS = {"$dynamodb_SS": "SS", "$dynamodb_NS": "NS", "$dynamodb_BS": "BS"}

# By exact type: floats, timestamps, symbols and values with annotations are of other types, and never an item's.
_PLAIN: dict[type, Callable[[Any], dict[str, Any]]] = {
    str: lambda value: {"S": value},
    Decimal: lambda value: {"N": _number(value)},
    int: lambda value: {"N": _number(value)},
    bool: lambda value: {"BOOL": value},
    type(None): lambda _: {"NULL": True},
    bytes: lambda value: {"B": base64.b64encode(value).decode()},
    dict: lambda value: {"M": _attributes(value)},
    list: lambda value: {"L": [_typed(each) for each in value]},
}

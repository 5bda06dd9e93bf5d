"""Where things lie in a change record, as JSON pointers, for Streams and Kinesis records alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cdc_merge.model import Path

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html
EVENT_NAME = "/eventName"
EVENT_ID = "/eventID"
SOURCE_ARN = "/eventSourceARN"
CREATED_AT = "/dynamodb/ApproximateCreationDateTime"
PRECISION = "/dynamodb/ApproximateCreationDateTimePrecision"
SEQUENCE_NUMBER = "/dynamodb/SequenceNumber"
VIEW_TYPE = "/dynamodb/StreamViewType"
KEYS = "/dynamodb/Keys"
NEW_IMAGE = "/dynamodb/NewImage"

# View types without the new image: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_StreamSpecification.html
VIEWS_WITHOUT_NEW_IMAGE = ("KEYS_ONLY", "OLD_IMAGE")


def escape(step: str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return step.replace("~", "~0").replace("/", "~1")


def pointer(path: Path, *, below: str = NEW_IMAGE) -> str:
    """The pointer to the typed value of a path: maps are entered by /M/, lists by /L/."""
    first, *rest = path
    steps = [below, escape(str(first))]
    for step in rest:
        steps += ["L", str(step)] if isinstance(step, int) else ["M", escape(step)]
    return "/".join(steps)


def literal(text: str) -> str:
    """A text literal of the workbench."""
    return "'" + text.replace("'", "''") + "'"


@dataclass
class Pointers:
    """The pointers one pass over a document extracts, each once; `value` names the extracted text in SQL."""

    _places: dict[str, int] = field(default_factory=dict)

    def value(self, at: str) -> str:
        """The SQL expression of the text at a pointer."""
        return f"v[{self._places.setdefault(at, len(self._places) + 1)}]"

    def as_list(self) -> str:
        """All pointers, as the list json_extract_string takes."""
        return "[" + ", ".join(literal(p) for p in self._places) + "]"


def any_is_null(values: Sequence[str]) -> str:
    """Whether one of the expressions is NULL."""
    return "(" + " OR ".join(f"{v} IS NULL" for v in values) + ")" if values else "FALSE"

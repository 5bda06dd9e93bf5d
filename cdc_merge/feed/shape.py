"""Where things lie in change records and in exported items, as JSON pointers."""

from __future__ import annotations

from collections.abc import Callable
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

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeDefinition.html
KEY_TAGS = ("S", "N", "B")

# Who made a change, where it was not an application: as Lambda and Kinesis Data Streams spell it, and as the API model
# of GetRecords does, which programs that read the stream themselves write on.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Identity.html
_MADE_BY_TYPE = ("/userIdentity/type", "/userIdentity/Type")
_MADE_BY = ("/userIdentity/principalId", "/userIdentity/PrincipalId")

# View types without the new image: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_StreamSpecification.html
VIEWS_WITHOUT_NEW_IMAGE = ("KEYS_ONLY", "OLD_IMAGE")


@dataclass(frozen=True)
class Form:
    """A kind of document with items in it: where its image and its key attributes lie.

    `event`, `created_at` and `precision` are SQL over `v`, the extracted texts, and `width`, the image's attributes;
    None: they lie where change records have them.
    """

    image: str
    keys: str
    event: str | None = None
    created_at: str | None = None


CHANGE = Form(image=NEW_IMAGE, keys=KEYS)
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
EXPORTED = Form(image="/Item", keys="/Item", event="'INSERT'", created_at="NULL")
# An incremental export says what happened by what is there: without a new image the item was deleted.
EXPORTED_CHANGE = Form(
    image="/NewImage",
    keys="/Keys",
    event="CASE WHEN coalesce(width, 0) > 0 THEN 'MODIFY' ELSE 'REMOVE' END",
    created_at="NULL",
)


def escape(step: str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return step.replace("~", "~0").replace("/", "~1")


def pointer(path: Path, *, below: str = NEW_IMAGE) -> str:
    """The pointer to the typed value of a path: maps are entered by /M/, lists by /L/. The empty path: the image."""
    if not path:
        return below
    first, *rest = path
    steps = [below, escape(str(first))]
    for step in rest:
        steps += ["L", str(step)] if isinstance(step, int) else ["M", escape(step)]
    return "/".join(steps)


def is_expiry(value: Callable[[str], str]) -> str:
    """Whether time to live removed the item; `value` gives the SQL of the text at a pointer.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
    """
    kind, who = (f"coalesce({', '.join(map(value, spellings))})" for spellings in (_MADE_BY_TYPE, _MADE_BY))
    return f"coalesce({kind} = 'Service' AND {who} = 'dynamodb.amazonaws.com', FALSE)"


def key_text(value: str, tag: str, base64_layers: int) -> str:
    """The one text by which a key is known: the same for every spelling of a number or of binary."""
    if tag == "N":
        return f"plain_number({value})"
    if tag == "B":
        once = f"decode(from_base64({value}))" if base64_layers == 2 else value
        return f"TRY(to_base64(from_base64({once})))"
    return value


def literal(text: str) -> str:
    """A text literal of the workbench."""
    return "'" + text.replace("'", "''") + "'"


@dataclass
class Pointers:
    """The pointers one pass over a document extracts, each once; `value` names the extracted text in SQL.

    `name` is that of the list of extracted texts. Pointers into the image are written as change records have it;
    `form` tells where it lies here.
    """

    form: Form = CHANGE
    name: str = "v"
    _places: dict[str, int] = field(default_factory=dict)

    def value(self, at: str) -> str:
        """The SQL expression of the text at a pointer."""
        if at == NEW_IMAGE or at.startswith(NEW_IMAGE + "/"):
            at = self.form.image + at.removeprefix(NEW_IMAGE)
        return f"{self.name}[{self._places.setdefault(at, len(self._places) + 1)}]"

    @property
    def places(self) -> tuple[str, ...]:
        """All pointers: at least one."""
        return tuple(self._places) or ("/",)

    def as_list(self) -> str:
        """All pointers, as the list json_extract_string takes."""
        return "[" + ", ".join(map(literal, self.places)) + "]"

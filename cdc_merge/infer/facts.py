"""What was counted in the items that were read: the facts on which everything is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cdc_merge.model import Kind, Path

KEY_TAGS = ("S", "N", "B")
SET_TAGS = ("SS", "NS", "BS")


class Form(StrEnum):
    """What the lines are: changes as a stream has them, exported items, or the changes of an incremental export."""

    CHANGES = "changes"
    ITEMS = "items"
    EXPORTED_CHANGES = "exported changes"


@dataclass(frozen=True)
class Extent:
    """How much was read, exactly.

    `objects` of `objects_there` were read, `whole` of them to their end. `records` includes `unusable` ones. `images`:
    items with an image, each counted once by its key; `keys_only`: keys of which no image was among the records.
    `unreadable`: objects by the reason why they could not be read.
    """

    objects: int
    objects_there: int
    whole: int
    records: int
    unusable: int
    images: int
    keys_only: int = 0
    unreadable: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_everything(self) -> bool:
        return self.objects == self.objects_there == self.whole


@dataclass(frozen=True)
class KeyCandidate:
    """An attribute that every item has with one type. `distinct`: how many values it has, about."""

    attribute: str
    tag: str
    distinct: int


@dataclass(frozen=True)
class Shape:
    """Items that look alike: so many have exactly these attributes, these key prefixes and these values.

    `prefixes`: for each key attribute the beginning of its text up to its first `#`, a whole word such as `PROFILE`
    (then without `#`), or None. `values`: of each candidate for the discriminator; None: it has none.
    """

    attributes: frozenset[str]
    prefixes: tuple[str | None, ...]
    values: tuple[str | None, ...]
    items: int


@dataclass(frozen=True)
class Numbers:
    """N values. `least`, `greatest`: as they are written; digits before and after the point, at most."""

    count: int
    least: str
    greatest: str
    whole_digits: int
    decimals: int
    integers: int  # of 64 bits
    odd: int = 0  # that are no numbers, or beyond all use
    low: float = 0.0  # `least` and `greatest`, about
    high: float = 0.0


@dataclass(frozen=True)
class Texts:
    """S values. `longest` in characters; how many are a moment in ISO 8601, a date alone, a moment without a zone."""

    count: int
    longest: int
    distinct: int  # about
    times: int = 0
    dates: int = 0
    zoneless: int = 0


@dataclass(frozen=True)
class Values:
    """All values that one attribute (or one member of a list's maps) has in the items of one entity.

    `tags`: how many of each DynamoDB type. `longest_list`: elements. `same_as_key`: how many equal what follows the
    prefix, for each key attribute.
    """

    path: Path
    tags: Mapping[str, int]
    numbers: Numbers | None = None
    texts: Texts | None = None
    longest_list: int = 0
    same_as_key: tuple[int, ...] = ()

    @property
    def present(self) -> int:
        return sum(self.tags.values())


@dataclass(frozen=True)
class Piece:
    """One piece of the key texts. `text`: where it is the same in every item, else None. `kind`: date or timestamp if
    all are, else text. `empty`: in so many items. `is_repeated`: an attribute of every item is the same.
    """

    text: str | None
    kind: Kind = Kind.TEXT
    empty: int = 0
    is_repeated: bool = False


@dataclass(frozen=True)
class KeyPieces:
    """The key texts of one entity, cut at each `#`; `least` and `most`: pieces of a text.

    `pieces` None: they are no texts, or have different numbers of pieces.
    """

    attribute: str
    pieces: tuple[Piece, ...] | None
    least: int = 0
    most: int = 0


@dataclass(frozen=True)
class Elements:
    """The elements of one list: how many, how many of them are maps, and the members of those."""

    count: int
    maps: int
    members: tuple[Values, ...]

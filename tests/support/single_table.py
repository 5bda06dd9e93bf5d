"""Random single tables: items of several entities under overloaded keys, whose schema moves, and targets of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, Mask, Target, Template, TimeUnit

KEY = ("PK", "SK")
Image = dict[str, Any]

KEYS: dict[str, st.SearchStrategy[Any]] = {
    "PK": st.sampled_from(
        ["CUSTOMER#alice", "CUSTOMER#a#b", "ORDER#17", "ORDER#17#ITEM#4", "CUSTOMEREMAIL#a@b.c", "x"]
    ),
    "SK": st.sampled_from(["CUSTOMER#alice", "ORDER#2026-01-02", "ORDER#17#ITEM#4#ITEM#5", "007", "ORDER#", "ORDER#é"]),
}

TYPES = ("Customer", "Order", "OrderItem", "Uniqueness")

# What an attribute holds before the schema moves, and what it holds as well from then on.
LINES: tuple[Any, ...] = (
    [{"Sku": "a", "Qty": 2}, {"Sku": "b", "Qty": 1, "Options": {"Colour": "red"}}],
    [{"Sku": "b", "Qty": 1}],
    [],
)
ODD_LINES: tuple[Any, ...] = (
    {"second": {"Sku": "z", "Qty": "3"}, "first": {"Sku": 5, "Note": None}},
    {"b": "SIZE#L", "a": {"Sku": "SIZE#M#red", "Gift": "yes"}, "B": None},
    {"10": {"Sku": "a"}, "9": {"Sku": "b", "Qty": Decimal("9")}},
    ["SIZE#L", "SIZE#M#red", None, True, [Decimal("1")], {"Sku": ["x"], "Gift": True, "Qty": Decimal("1.5")}],
    {"b", "a", "ä", "SIZE#L"},
    {},
    "alone",
    Decimal("7"),
    None,
)
ATTRIBUTES: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "Status": (("PLACED", "SHIPPED", ""), ("a\0b", None, Decimal("5"), ["x"])),
    "Total": (
        (Decimal("12.50"), Decimal("0"), Decimal("12345678901234567890123456789012345678")),
        (
            "12.50",
            "007",
            "-0.5",
            "1.0",
            "1e3",
            "1234.567",
            Decimal("0.1234567890123456789"),
            Decimal("1E+20"),
            True,
            None,
        ),
    ),
    "Created": (
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456+05:30", "2026-01-02"),
        (Decimal("1767225600"), Decimal("1767225600.25"), "2026-02-30", "2026-01-02 03:04", "soon", "1767225600", None),
    ),
    "Paid": ((True, False), ("true", "TRUE", Decimal("1"), None)),
    "Address": (
        ({"City": "Bern", "Zip": "3000"}, {"City": "Paris"}, {}),
        ('{"City":"Bern"}', {"City": ["Bern"], "Geo": [Decimal("46.9"), {"b": {"y", "x"}}]}, {"City": None}, None),
    ),
    "Items": (LINES, ODD_LINES),
    "Tags": (({"b", "a", "ä"}, {"a"}), ([], ["b"], "a", {Decimal("2"), Decimal("10")}, {"k": "v"}, None)),
    "Ref": (
        ("ORDER#17", "ORDER#17#ITEM#4", "ORDER#1.0"),
        ("CUSTOMER#17", "ORDER#", "ORDER#é\n#ITEM#2", Decimal("5"), None),
    ),
    "Raw": ((b"", b"\x00\xff"), ("AA==", None)),
    "Deep": (({"Lines": [{"Tags": ["x", "y"]}]}, {"Lines": []}), ({"Lines": [{"Tags": "x"}]}, {"Lines": "x"}, "x")),
    "Email address": (("a@b.c",), ("A@b.c", None)),
    "total": (("small",), (Decimal("1"),)),
}


EACH_OF = ("Items", "Tags", "Deep")


@st.composite
def images(draw: st.DrawFn, *, has_moved: bool = False) -> Image:
    """An item without its key; `has_moved`: attributes may hold other types, and further ones are there."""
    names = list(ATTRIBUTES) if has_moved else list(ATTRIBUTES)[:-3]
    random = draw(st.randoms(use_true_random=False))
    image = {}
    for name in names:
        if random.random() < (0.7 if name in EACH_OF else 0.4):
            before, after = ATTRIBUTES[name]
            image[name] = random.choice(after if has_moved and random.random() < 0.6 else before)
    kind = random.choice((*TYPES, *TYPES, None, Decimal("5")))
    return image if kind is None else {"Type": kind, **image}


# --- targets ---------------------------------------------------------------------------------------------

NUMBERS = (
    ColumnType(Kind.INTEGER),
    ColumnType(Kind.NUMERIC),
    ColumnType(Kind.NUMERIC, 6, 2),
    ColumnType(Kind.NUMERIC, 38, 0),
    ColumnType(Kind.DOUBLE),
)
TIMES = (
    ColumnType(Kind.TIMESTAMP),
    ColumnType(Kind.TIMESTAMP, unit=TimeUnit.SECONDS),
    ColumnType(Kind.TIMESTAMP, unit=TimeUnit.MILLISECONDS),
    ColumnType(Kind.DATE),
)
TEXT, JSON = ColumnType(Kind.TEXT), ColumnType(Kind.JSON)
OF_TEXT = (TEXT, ColumnType(Kind.BOOLEAN), *NUMBERS, *TIMES)
COLUMN_TYPES = (*OF_TEXT, JSON, JSON, ColumnType(Kind.BINARY))

CONDITIONS = (
    *(Condition(("Type",), any_of=(kind,)) for kind in TYPES[:3]),
    *(Condition(("Type",), any_of=(kind,)) for kind in TYPES[:3]),
    Condition(("Type",), any_of=("Order", "OrderItem", 5)),
    Condition(("PK",), prefix="CUSTOMER#"),
    Condition(("SK",), prefix="ORDER#"),
    Condition(("SK",), any_of=("007", "ORDER#")),
    Condition(("Status",), prefix="P"),
    Condition(("Address",), exists=True),
    Condition(("Address", "City"), any_of=("Bern",)),
    Condition(("Email address",), exists=False),
    Condition(("Items", 0, "Sku"), exists=True),
    Condition(("Paid",), any_of=(True,)),
    Condition(("Total",), any_of=(12.5, 0)),
)

TEMPLATES = (("ORDER#", ""), ("ORDER#", "#ITEM#", ""), ("CUSTOMER#", ""), ("", "#", ""))
ITEM_PATHS = (
    *((name,) for name in ATTRIBUTES),
    ("Type",),
    ("Address", "City"),
    ("Address", "Geo", 1, "b"),
    ("Items", 0, "Sku"),
    ("Items", 1),
    ("Deep", "Lines", 0, "Tags"),
)
TEXT_PATHS = (("PK",), ("SK",), ("Ref",), ("Ref",), ("Status",))
EACH = (("Items",), ("Items",), ("Items",), ("Tags",), ("Deep", "Lines"), ("Deep", "Lines", 0, "Tags"))
ELEMENT_PATHS = ((), ("Sku",), ("Qty",), ("Options",), ("Options", "Colour"), ("Gift",), ("Note",), ("Tags",))
ELEMENT_TEMPLATES = (("SIZE#", ""), ("SIZE#", "#", ""))


@st.composite
def targets(draw: st.DrawFn, *, table: str) -> Target:
    """A target of items or of their elements, with conditions and columns of every kind."""
    where = draw(
        st.lists(st.sampled_from(CONDITIONS), max_size=draw(st.sampled_from([0, 0, 1, 2])), unique_by=lambda c: c.path)
    )
    target = Target(table, tuple(where))
    match draw(st.sampled_from(["columns", "columns", "columns", "each", "each", "each", "all", "document"])):
        case "document":
            return replace(target, is_document=True)
        case "all":
            return target
        case "each":
            evolve = draw(st.sampled_from([Evolve.FREEZE, Evolve.FREEZE, Evolve.ADD]))
            columns = draw(_columns(_element_column(), least=3))
            return replace(target, each=draw(st.sampled_from(EACH)), columns=columns, evolve=evolve)
        case _:
            evolve = draw(st.sampled_from([Evolve.FREEZE, Evolve.FREEZE, Evolve.ADD]))
            return replace(target, columns=draw(_columns(_item_column(), least=4)), evolve=evolve)


@st.composite
def _columns(draw: st.DrawFn, column: st.SearchStrategy[Column], *, least: int) -> tuple[Column, ...]:
    """Columns under names of their own, some of which an attribute would like to have."""
    found = draw(st.lists(column, min_size=least, max_size=7))
    names = draw(st.permutations(["total", "status", "tags", "sku", "c1", "C 2", 'c"3']))
    return tuple(replace(c, name=name) for c, name in zip(found, names, strict=False))


def _typed(path: tuple[str | int, ...]) -> st.SearchStrategy[Column]:
    return st.builds(lambda kind: Column("", path, kind), st.sampled_from([None, None, *COLUMN_TYPES]))


def _piece(path: tuple[str, ...], templates: tuple[tuple[str, ...], ...]) -> st.SearchStrategy[Column]:
    holes = [Template(literals, hole) for literals in templates for hole in range(len(literals) - 1)]
    return st.builds(
        lambda template, kind: Column("", path, kind, template),
        st.sampled_from(holes),
        st.sampled_from([None, TEXT, *OF_TEXT]),
    )


def _masked(column: st.SearchStrategy[Column]) -> st.SearchStrategy[Column]:
    masks = st.sampled_from(list(Mask))
    return st.builds(lambda c, mask: replace(c, type=None, mask=mask), column, masks)


def _item_column() -> st.SearchStrategy[Column]:
    typed = st.sampled_from(ITEM_PATHS).flatmap(_typed)
    pieces = st.sampled_from(TEXT_PATHS).flatmap(lambda path: _piece(path, TEMPLATES))
    hidden = _masked(typed) | _masked(_piece(("Ref",), TEMPLATES))
    return st.one_of(typed, typed, pieces, hidden)


def _element_column() -> st.SearchStrategy[Column]:
    typed = st.sampled_from(ELEMENT_PATHS).flatmap(_typed)
    pieces = st.sampled_from([(), ("Sku",)]).flatmap(lambda path: _piece(path, ELEMENT_TEMPLATES))
    around = _item_column().map(lambda c: replace(c, of_parent=True))
    return st.one_of(typed, typed, pieces, _masked(typed), _masked(pieces), around)


# --- everything once -------------------------------------------------------------------------------------


# The element itself is held if one of its columns has all of it.
ELEMENT_ITSELF = (
    (Column("", (), ColumnType(Kind.INTEGER)), Column("", (), TEXT)),
    (Column("", (), ColumnType(Kind.BOOLEAN)), Column("", (), TEXT, Template(("SIZE#", ""), 0))),
    (Column("", (), TEXT, Template(("SIZE#", "#", ""), 0)), Column("", (), ColumnType(Kind.INTEGER))),
)


def every_value() -> list[Image]:
    """An item, without its key, for each value that an attribute can have, and for each entity."""
    single = [{name: value} for name, pools in ATTRIBUTES.items() for pool in pools for value in pool]
    entities = [{"Type": kind, "Status": "PLACED"} for kind in (*TYPES, Decimal("5"), "5", True)]
    bounds = (
        "9223372036854775807",
        "9223372036854775808",
        "9999.99",
        "9999.994",
        "123456789012345",
        "1234567890123456",
    )
    return [*single, *entities, *({"Total": Decimal(n)} for n in bounds), {"Paid": "1"}, {}]


def every_target() -> dict[str, tuple[Target, ...]]:
    """Targets with each type, template, mask, list and condition, each by itself."""
    attributes = [(name,) for name in ATTRIBUTES]
    deep = [path for path in ITEM_PATHS if len(path) > 1]
    kinds = tuple(dict.fromkeys(COLUMN_TYPES))
    holes = [(literals, hole) for literals in TEMPLATES for hole in range(len(literals) - 1)]
    return {
        "types": tuple(
            _frozen(n, [Column("", path, kind) for path in (*attributes, *deep)]) for n, kind in enumerate(kinds)
        ),
        "pieces": (
            *(
                _frozen(n, [Column("", ("Ref",), kind, Template(*hole)) for hole in holes])
                for n, kind in enumerate((None, *OF_TEXT))
            ),
            *(
                _frozen(100 + n, [Column("", ("Ref",), TEXT, Template(*hole)), Column("", ("Status",), TEXT)])
                for n, hole in enumerate(holes)
            ),
            _frozen(200, [Column("", ("Ref",), TEXT), Column("", ("Ref",), ColumnType(Kind.BOOLEAN))]),
        ),
        "masks": tuple(
            _frozen(n, [Column("", path, mask=mask) for path in (*attributes, *deep[:2])])
            for n, mask in enumerate(Mask)
        ),
        "elements": (
            *(
                replace(_frozen(n * 10 + m, [Column("", path, kind) for path in ELEMENT_PATHS[m:]]), each=each)
                for n, each in enumerate(dict.fromkeys(EACH))
                for m, kind in enumerate((JSON, TEXT, ColumnType(Kind.NUMERIC, 6, 2)))
            ),
            *(replace(_frozen(100 + n, [*ways]), each=("Items",)) for n, ways in enumerate(ELEMENT_ITSELF)),
        ),
        "conditions": tuple(replace(_frozen(n, []), where=(c,)) for n, c in enumerate(dict.fromkeys(CONDITIONS))),
    }


def _frozen(number: int, columns: list[Column]) -> Target:
    named = tuple(replace(c, name=f"c{n}") for n, c in enumerate(columns))
    return Target(f"t{number}", columns=named, evolve=Evolve.FREEZE)

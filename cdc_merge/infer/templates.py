"""Decides which pieces of keys get columns: templates with holes, and names for what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cdc_merge.infer.entities import Entity
from cdc_merge.infer.facts import KeyPieces, Piece
from cdc_merge.infer.naming import free_name, piece_name
from cdc_merge.model import Kind

SEPARATOR = "#"


@dataclass(frozen=True)
class KeyPiece:
    """A column for a piece of a key that no attribute repeats. `template`: with named holes. `kind`: of its values."""

    name: str
    attribute: str
    template: str
    kind: Kind = Kind.TEXT


def propose_pieces(pieces: Sequence[KeyPieces], repeated: Sequence[int], taken: Sequence[str]) -> tuple[KeyPiece, ...]:
    """Columns for the varying pieces of keys; one text is cut once, also where both keys have it.

    `repeated`: the places of keys that an attribute repeats from the prefix on. `taken`: names of columns; one that a
    piece would have holds the same, most likely.
    """
    names = list(taken)
    found: list[KeyPiece] = []
    seen: set[tuple[str | None, ...]] = set()
    for place, of_key in enumerate(pieces):
        cut = of_key.pieces or ()
        literals = tuple(_literal(p) for p in cut)
        if place in repeated or not _is_worth_cutting(literals) or literals in seen or _trouble(of_key):
            continue
        seen.add(literals)
        own = _hole_names(of_key.attribute, cut, literals)
        template = _template(literals, own)
        found += [
            KeyPiece(name, of_key.attribute, template, cut[i].kind)
            for i, name in own.items()
            if name not in names and not cut[i].is_repeated
        ]
        names += own.values()
    return tuple(found)


def why_uncut(entity: Entity, pieces: Sequence[KeyPieces], repeated: Sequence[int]) -> tuple[str, ...]:
    """Of keys that begin with a prefix and have pieces, why no template fits them all, in words."""
    return tuple(
        f"{of_key.attribute} {trouble}"
        for place, of_key in enumerate(pieces)
        if place not in repeated and entity.prefixes[place] and (trouble := _trouble(of_key))
    )


def labels(of_key: KeyPieces) -> list[str]:
    """The pieces that name what follows them."""
    return [literal for p in of_key.pieces or () if (literal := _literal(p))]


def _literal(piece: Piece) -> str | None:
    """What a template says of a piece: its text where all keys have it. Without a letter, or as a date, it is data that
    happens to be the same in all keys that were read.
    """
    text = piece.text
    if text and (piece.kind is not Kind.TEXT or not any(c.isalpha() for c in text)):
        return None
    return text


def _is_worth_cutting(literals: Sequence[str | None]) -> bool:
    return len(literals) > 1 and None in literals and any(literals)


def _trouble(of_key: KeyPieces) -> str | None:
    """Why no template fits all keys."""
    if of_key.pieces is None:
        if of_key.most > 1:
            return f"has {of_key.least} to {of_key.most} pieces between {SEPARATOR}"
        return None
    literals = [_literal(p) for p in of_key.pieces]
    if any(p.empty for p, literal in zip(of_key.pieces, literals, strict=True) if literal is None):
        return "has pieces that are empty in some items"
    return None


def _hole_names(attribute: str, cut: Sequence[Piece], literals: Sequence[str | None]) -> dict[int, str]:
    """A name for each hole, by its place: the label before it, and what kind of thing it is.

    Where several that are no times follow one label, nothing says what they are: they are numbered.
    """
    own: dict[int, str] = {}
    for label, run in _runs(literals):
        plain = [i for i in run if cut[i].kind is Kind.TEXT]
        for i in run:
            number = plain.index(i) + 1 if i in plain and len(plain) > 1 else None
            own[i] = free_name(piece_name(label or attribute, cut[i].kind, number), list(own.values()))
    return own


def _runs(literals: Sequence[str | None]) -> Iterator[tuple[str, list[int]]]:
    """The holes that follow each label, by their places."""
    label, run = "", list[int]()
    for i, literal in enumerate(literals):
        if literal is None:
            run.append(i)
        elif literal:
            if run:
                yield label, run
            label, run = literal, []
    if run:
        yield label, run


def _template(literals: Sequence[str | None], own: dict[int, str]) -> str:
    holes = [
        literal.replace("{", "{{").replace("}", "}}") if literal is not None else f"{{{own[i]}}}"
        for i, literal in enumerate(literals)
    ]
    template = SEPARATOR.join(holes)
    return template.replace(f"{{{next(iter(own.values()))}}}", "{}") if len(own) == 1 else template

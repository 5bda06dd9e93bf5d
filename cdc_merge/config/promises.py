"""What the file will be able to say and this version does not do yet: refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cdc_merge.config.document import Loc, Node
from cdc_merge.config.marks import Finding, Mark

_ANY = "*"


@dataclass(frozen=True)
class Promise:
    """A key, or a value of a key (`equals`, `begins`), that a later version will take.

    `path`: keys from the top, `*` for any key or list index.
    """

    path: tuple[str, ...]
    name: str
    hint: str
    equals: str | None = None
    begins: str | None = None

    @property
    def is_key(self) -> bool:
        """Whether the key itself is what this version does not know."""
        return self.equals is None and self.begins is None

    def holds(self, node: Node) -> bool:
        """Whether a value under the key is meant."""
        text = node.text or ""
        if self.equals is not None:
            return text == self.equals
        return self.begins is None or text.lower().startswith(self.begins)


# A line goes when its feature comes.
NOT_YET = (Promise(("warehouse",), "a redshift+data:// warehouse", "write redshift://", begins="redshift+"),)


def not_yet(root: Node) -> Iterator[tuple[Loc, Finding]]:
    """Each use of a promise that this version does not keep."""
    for promise in NOT_YET:
        for loc, key_mark, node in _matches(root, promise.path, (), root.mark):
            if promise.holds(node):
                mark = key_mark if promise.is_key else node.mark
                yield loc, Finding(mark, f"{promise.name} is not in this version yet", promise.hint)


def promised_marks(root: Node) -> Iterator[Mark]:
    """The places of such uses, and all below them: nothing else needs to be said of those."""
    for promise in NOT_YET:
        for _, key_mark, node in _matches(root, promise.path, (), root.mark):
            if promise.holds(node):
                if promise.is_key:
                    yield key_mark
                yield from (below.mark for below in node.walk())


def _matches(node: Node, path: tuple[str, ...], loc: Loc, mark: Mark) -> Iterator[tuple[Loc, Mark, Node]]:
    if not path:
        yield loc, mark, node
        return
    first, rest = path[0], path[1:]
    for name, entry in node.fields.items():
        if first in (_ANY, name):
            yield from _matches(entry.node, rest, (*loc, name), entry.mark)
    if first == _ANY:
        for i, item in enumerate(node.items):
            yield from _matches(item, rest, (*loc, i), item.mark)

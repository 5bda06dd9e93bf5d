"""What entity an item seems to be that no target takes: the text of the attribute that targets are told apart by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from cdc_merge.feed import shape
from cdc_merge.model import Path, Source, Target

NO_PREFIX = "(no prefix)"


def discriminator(targets: Sequence[Target], key: Sequence[str]) -> Path | None:
    """The path that most targets compare with one value or several; of equals the one named first.

    No attribute of the key: its values are of single items, as many as there are, and may be somebody's address.
    """
    compared = (dict.fromkeys(c.path for c in t.where if c.any_of is not None) for t in targets)
    used = Counter(path for paths in compared for path in paths if not (len(path) == 1 and path[0] in key))
    return used.most_common(1)[0][0] if used else None


def entity(source: Source, key_tags: Sequence[str], form: shape.Form, value: Callable[[str], str]) -> str:
    """The SQL expression of an item's entity; `value` gives that of the text at a pointer.

    Without the attribute it is the partition key up to its first `#`, as overloaded keys are usually written:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-sort-keys.html
    """
    ways = []
    if path := discriminator(source.targets, source.key):
        at = shape.pointer(path)
        ways += [value(at + "/S"), f"plain_number({value(at + '/N')})", value(at + "/BOOL")]
    if key_tags and key_tags[0] == "S":
        key = value(f"{form.keys}/{shape.escape(source.key[0])}/S")
        ways.append(f"CASE WHEN contains({key}, '#') THEN split_part({key}, '#', 1) || '#' END")
    return f"coalesce({', '.join([*ways, shape.literal(NO_PREFIX)])})"

"""Where temporary files lie."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from cdc_merge.errors import NoRoom

_NAMED = ("TMPDIR", "TEMP", "TMP")
_USUAL = ("/tmp", "/var/tmp", "/usr/tmp")


def temporary_place() -> Path:
    """The folder that `$TMPDIR` names, or the system's. Raises NoRoom where none can be written to.

    `tempfile.gettempdir` writes a file to find that out: where the disk is full it would take another folder, or the
    current one, and what fills the disk would be found by nobody.
    """
    if sys.platform == "win32":
        return Path(tempfile.gettempdir())
    places = [*filter(None, map(os.environ.get, _NAMED)), *_USUAL]
    for place in places:
        if Path(place).is_dir() and os.access(place, os.W_OK | os.X_OK):
            return Path(place).absolute()
    raise NoRoom(
        f"no folder for temporary files: none of {', '.join(places)} can be written to",
        hint="let $TMPDIR name one, in a container a volume on a disk",
    )


__all__ = ["temporary_place"]

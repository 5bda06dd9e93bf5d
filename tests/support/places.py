"""Where the files of a test run lie."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_LEAST = 4 * 2**30
"""Bytes that must be free, of the folder and of the machine's memory. A run has a quarter of a GiB there at a time."""


def memory_folder() -> Path | None:
    """A folder whose files are in memory; None where there is none with enough room that programs can be started from.

    Tests make and remove databases of a thousand files each. On a disk of ext4 that took a third of the run: it looks
    for inodes that nobody had lately. https://docs.kernel.org/filesystems/tmpfs.html
    """
    folder = Path("/dev/shm")
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return None
    found = os.statvfs(folder)
    if found.f_flag & os.ST_NOEXEC or found.f_bavail * found.f_frsize < _LEAST:
        return None
    return folder if psutil.virtual_memory().available > _LEAST else None

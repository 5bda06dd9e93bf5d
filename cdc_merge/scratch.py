"""Temporary folders that somebody still has, and those of processes that died, which go.

A worker that is killed leaves what it had fetched and spilled, gigabytes at times. A container that is started again
has the same disk, so what each of its workers leaves would stay until the disk is full.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import duckdb

from cdc_merge.errors import NoRoom
from cdc_merge.logs import get_logger
from cdc_merge.shortage import ROOM, is_of_disk, no_room

if sys.platform != "win32":
    import fcntl

log = get_logger("cdc_merge.scratch")

_PREFIX = "cdc-merge."


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A fresh folder below `$TMPDIR` for the time of the block, which only this user can read.

    The first one that a process asks for is the occasion to remove what processes that died have left. Raises NoRoom
    where there can be none, and where the block finds the disk full.
    """
    _remove_leftovers()
    owner = os.getpid()
    path, lock = _made()
    try:
        yield path
    except (OSError, duckdb.Error) as error:
        if not is_of_disk(error):
            raise
        raise NoRoom(no_room(str(error).strip().splitlines()[0]), hint=ROOM) from error
    finally:
        if os.getpid() == owner:  # a forked process that ends does not take its parent's folder away
            # What cannot be removed now is a leftover from here on.
            shutil.rmtree(path, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _made() -> tuple[Path, int | None]:
    """A new folder, and the lock on it.

    The system lets go of the lock when the process is gone, however it ended, and a process id would not tell: in a
    container each worker has the same.
    """
    while True:
        try:
            path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        except OSError as error:
            raise NoRoom(
                f"no folder for temporary files can be made: {error}",
                hint="let $TMPDIR name one that can be written to, in a container a volume on a disk",
            ) from error
        if sys.platform == "win32":
            return path, None
        # Until it is locked, another process may take it for a leftover: then it is gone, or locked and soon gone.
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            except OSError:
                return path, lock  # a file system without locks: there nobody takes it for a leftover
            if path.exists():
                return path, lock
            os.close(lock)


@cache
def _remove_leftovers() -> None:
    if sys.platform == "win32":
        return
    removed = 0
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:  # where no folder can be made, that is told
        for entry in entries:
            if entry.name.startswith(_PREFIX) and _was_left(Path(entry.path)):
                removed += 1
    if removed:
        log.info("leftovers_removed", folders=removed, below=tempfile.gettempdir())


def _was_left(path: Path) -> bool:
    """Whether it was a folder of a process that died; then it is gone."""
    with suppress(
        OSError
    ):  # another user's, no folder, gone meanwhile, or a file system without locks: not ours to remove
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(lock).st_uid != os.geteuid():
                return False
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            return not path.exists()
        finally:
            os.close(lock)
    return False


__all__ = ["scratch_folder"]

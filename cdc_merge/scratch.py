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
from pathlib import Path

import duckdb

from cdc_merge.errors import NoRoom
from cdc_merge.logs import get_logger
from cdc_merge.shortage import ROOM, is_of_disk, no_room
from cdc_merge.tmpdir import temporary_place

if sys.platform != "win32":
    import fcntl

log = get_logger("cdc_merge.scratch")

_PREFIX = "cdc-merge-scratch-"
_LOCK, _FILES = "lock", "files"  # a folder without the first is none of ours
_TRIES = 100

_swept: set[Path] = set()  # places where this process has looked for what others left


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A fresh folder below `$TMPDIR` for the time of the block, which only this user can read.

    The first one that a process asks for is the occasion to remove what processes that died have left. Raises NoRoom
    where there can be none, and where the block finds the disk full.
    """
    place = temporary_place()
    if place not in _swept:
        _remove_leftovers(place)
        _swept.add(place)
    owner = os.getpid()
    folder, lock = _made(place)
    try:
        yield folder / _FILES
    except (OSError, duckdb.Error) as error:
        if not is_of_disk(error):
            raise
        raise NoRoom(no_room(error), hint=ROOM) from error
    finally:
        if os.getpid() == owner:  # a forked process that ends does not take its parent's folder away
            _remove(folder)
        if lock is not None:
            os.close(lock)


def _made(place: Path) -> tuple[Path, int | None]:
    """A new folder, and its lock. Raises NoRoom.

    The system lets go of the lock when the process is gone, however it ended, and a process id would not tell: in a
    container each worker has the same. It is on a file, as network file systems lock folders for one machine alone.
    """
    failure: OSError | None = None
    for _ in range(_TRIES):
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        except OSError as error:
            failure = error
            break
        try:
            return folder, _furnished(folder)
        except (BlockingIOError, FileNotFoundError) as error:  # another process took it for a leftover, and was faster
            failure = error
        except OSError as error:
            failure = error
            _remove(folder)
            break
    if failure and is_of_disk(failure):
        raise NoRoom(no_room(failure), hint=ROOM) from failure
    raise NoRoom(f"no folder for temporary files can be made in {place}: {failure}", hint=ROOM) from failure


def _furnished(folder: Path) -> int | None:
    """Give a new folder its lock and its place for files; returns the lock, None where none can be had.

    Raises OSError, of it BlockingIOError and FileNotFoundError where another process removes it.
    """
    if sys.platform == "win32":
        (folder / _FILES).mkdir()
        return None
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        is_locked = _lock(lock)
        (folder / _LOCK).stat()
        (folder / _FILES).mkdir(mode=0o700)
        if is_locked:
            return lock
        (folder / _LOCK).unlink()  # whose lock could be had later would count as left
    except OSError:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _lock(file: int) -> bool:
    """Lock it; whether that can be done on its file system. Raises BlockingIOError where another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _remove_leftovers(place: Path) -> None:
    if sys.platform == "win32":
        return
    removed = 0
    with suppress(OSError), os.scandir(place) as entries:  # a folder may be made where none can be listed
        for entry in entries:
            if entry.name.startswith(_PREFIX) and _is_ours(entry) and _was_left(Path(entry.path)):
                removed += 1
    if removed:
        log.info("leftovers_removed", folders=removed, below=str(place))


def _is_ours(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder of this user, which in a shared place nobody else can put another one for."""
    with suppress(OSError):  # gone meanwhile
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    return False


def _was_left(folder: Path) -> bool:
    """Whether it was a folder of a process that died; then it is gone."""
    # An error says that it is gone meanwhile, locked, or without a lock: not to be removed.
    with suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        try:
            return _lock(lock) and _remove(folder)
        finally:
            os.close(lock)
    with suppress(OSError):
        folder.rmdir()  # a process died before it could lock it: it is empty, else this does nothing
    return False


def _remove(folder: Path) -> bool:
    """Remove what is in it, then its lock. What cannot be removed now is a leftover from here on."""
    shutil.rmtree(folder / _FILES, ignore_errors=True)
    if (folder / _FILES).exists():
        return False
    with suppress(OSError):
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()
    return True


__all__ = ["scratch_folder"]

"""What a full disk looks like, by the errors of the real system and the real DuckDB."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from cdc_merge.errors import NoRoom
from cdc_merge.scratch import scratch_folder
from cdc_merge.shortage import ROOM, cure, is_of_disk, more_than

FULL = Path("/dev/full")  # a device that is always full: https://man7.org/linux/man-pages/man4/full.4.html


def write_to_a_full_disk() -> None:
    if not FULL.exists():  # on macOS
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    FULL.write_bytes(b"x")


def copy_to_a_full_disk() -> None:
    if not FULL.exists():
        raise duckdb.IOException(f'Could not write file "a": {os.strerror(errno.ENOSPC)}')
    duckdb.connect().execute(f"COPY (SELECT 1) TO '{FULL}'")


def spill(folder: Path, **config: str) -> None:
    with duckdb.connect(config={"memory_limit": "40MB", "temp_directory": str(folder), **config}) as connection:
        connection.execute("CREATE TABLE kept AS SELECT range i, md5(range::VARCHAR) m FROM range(2_000_000)")


def need_memory(folder: Path) -> None:
    with duckdb.connect(config={"memory_limit": "20MB", "temp_directory": str(folder)}) as connection:
        connection.execute("SELECT list(md5(range::VARCHAR)) FROM range(2_000_000)")


def error_of(work: Callable[[], None]) -> Exception:
    with pytest.raises((OSError, duckdb.Error)) as raised:
        work()
    return raised.value


def test_it_is_told_from_other_faults(tmp_path: Path) -> None:
    assert is_of_disk(error_of(write_to_a_full_disk))
    assert is_of_disk(error_of(copy_to_a_full_disk))
    assert is_of_disk(error_of(lambda: spill(tmp_path, max_temp_directory_size="1MB")))

    assert not is_of_disk(error_of(lambda: need_memory(tmp_path)))
    assert not is_of_disk(error_of(lambda: (tmp_path / "none").read_bytes() and None))
    # A value may say it, too.
    assert not is_of_disk(error_of(lambda: duckdb.connect().execute("SELECT 'No space left on device'::INT") and None))


def test_too_little_memory_asks_for_memory_and_a_full_disk_for_room(tmp_path: Path) -> None:
    of_memory = error_of(lambda: need_memory(tmp_path))
    of_disk = error_of(lambda: spill(tmp_path, max_temp_directory_size="1MB"))

    assert cure(of_memory, of_memory="raise it") == "raise it"
    assert cure(of_disk, of_memory="raise it") == ROOM
    assert more_than(1000, of_memory) == "more than the 1,000 bytes it may use"
    assert "has no room for the rest" in more_than(1000, of_disk)


@pytest.mark.parametrize("work", [write_to_a_full_disk, copy_to_a_full_disk])
def test_a_temporary_folder_says_that_the_disk_is_full(work: Callable[[], None]) -> None:
    with (
        pytest.raises(NoRoom, match=r"no room for temporary files in .*No space left") as raised,
        scratch_folder() as folder,
    ):
        work()

    assert raised.value.hint == ROOM
    assert not folder.exists()


def test_other_errors_pass_through_a_temporary_folder_as_they_are() -> None:
    with pytest.raises(FileNotFoundError), scratch_folder() as folder:
        (folder / "none").read_bytes()

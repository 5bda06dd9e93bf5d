"""Temporary folders: a process that is killed leaves them to the next one, and nobody takes those of a living one."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cdc_merge import scratch, tmpdir
from cdc_merge.errors import NoRoom
from cdc_merge.scratch import scratch_folder

HOLDS_ONE = """
import sys
from cdc_merge.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "object").write_bytes(b"fetched")
    print(folder, flush=True)
    sys.stdin.read()
"""

FORKS = """
import os, sys
from cdc_merge.scratch import scratch_folder
with scratch_folder() as folder:
    child = os.fork()
    if not child:
        sys.exit()
    os.waitpid(child, 0)
    assert folder.exists()
"""

MAKES_MANY = """
from cdc_merge import scratch
for _ in range(60):
    scratch._swept.clear()
    with scratch.scratch_folder() as folder:
        (folder / "object").write_bytes(b"")
        scratch._swept.clear()
        with scratch.scratch_folder():
            assert (folder / "object").exists(), folder
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty temporary folder, in which this process has not asked for one yet."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@contextmanager
def another_process() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """One that has a folder, until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_ONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield process, Path(process.stdout.readline().strip())


def test_a_folder_is_ours_alone_and_gone_at_the_end(temporary: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent.parent == temporary
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        (folder / "below").mkdir()
        (folder / "below" / "object").write_bytes(b"fetched")

    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_ones_first_folder(
    temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with another_process() as (process, left):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (left / "object").exists()

    with caplog.at_level("INFO", logger="cdc_merge.scratch"), scratch_folder() as folder:
        assert list(temporary.iterdir()) == [folder.parent]

    assert "leftovers_removed" in caplog.text and "folders=1" in caplog.text and str(temporary) in caplog.text


def test_the_folder_of_a_living_process_stays(temporary: Path) -> None:
    with another_process() as (_, theirs):
        with scratch_folder():
            pass
        assert (theirs / "object").read_bytes() == b"fetched"

    assert list(temporary.iterdir()) == []


def test_only_folders_of_this_kind_and_user_are_removed(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = temporary / "elsewhere"
    for folder in (elsewhere, temporary / "cdc-merge-scratch-notes", temporary / "cdc-merge.git"):
        (folder / "files").mkdir(parents=True)
        (folder / "files" / "precious").write_text("kept")
    (elsewhere / "lock").touch()
    (temporary / "cdc-merge-scratch-link").symlink_to(elsewhere, target_is_directory=True)
    (temporary / "cdc-merge-scratch-file").write_text("kept")
    os.mkfifo(temporary / "cdc-merge-scratch-fifo")
    before = sorted(temporary.rglob("*"))
    with scratch_folder():
        pass
    assert sorted(temporary.rglob("*")) == before

    theirs = temporary / "cdc-merge-scratch-theirs"
    (theirs / "files").mkdir(parents=True)
    (theirs / "lock").touch()
    scratch._swept.clear()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with scratch_folder():
        pass
    assert (theirs / "files").exists()


def test_a_folder_whose_process_died_before_it_could_lock_it_goes(temporary: Path) -> None:
    (temporary / "cdc-merge-scratch-empty").mkdir()

    with scratch_folder() as folder:
        assert list(temporary.iterdir()) == [folder.parent]


def test_a_forked_process_that_ends_leaves_its_parents_folder(temporary: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", FORKS], check=False)

    assert ended.returncode == 0
    assert list(temporary.iterdir()) == []


def test_where_no_lock_can_be_had_nothing_is_removed(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = temporary / "cdc-merge-scratch-left"
    left.mkdir()
    (left / "lock").touch()

    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(scratch.fcntl, "flock", refuse)
    with scratch_folder() as folder:
        assert {*temporary.iterdir()} == {left, folder.parent}
    assert [*temporary.iterdir()] == [left]


def test_a_folder_whose_lock_could_not_be_had_once_is_not_taken_for_a_leftover_when_locks_can_be_had(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with ExitStack() as held:
        with monkeypatch.context() as passing:
            passing.setattr(scratch.fcntl, "flock", refuse)
            first = held.enter_context(scratch_folder())
        scratch._swept.clear()
        held.enter_context(scratch_folder())
        assert first.exists()
    assert list(temporary.iterdir()) == []


def test_where_no_folder_can_be_made_that_is_said(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tmpdir, "_USUAL", ())
    monkeypatch.setenv("TMPDIR", str(temporary / "not there"))
    monkeypatch.delenv("TEMP", raising=False)
    monkeypatch.delenv("TMP", raising=False)
    with pytest.raises(NoRoom, match="not there can be written to") as raised, scratch_folder():
        pass
    assert "$TMPDIR" in (raised.value.hint or "")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_where_a_folder_cannot_be_locked_that_is_said(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(scratch, "_furnished", refuse)
    with pytest.raises(NoRoom, match=os.strerror(number)) as raised, scratch_folder():
        pass
    assert str(temporary) in str(raised.value) and list(temporary.iterdir()) == []


@pytest.mark.parametrize("how", ["gone", "half gone", "locked"])
def test_a_folder_that_is_taken_for_a_leftover_before_it_is_locked_is_made_anew(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    lock = scratch.fcntl.flock
    met: list[Path] = []

    def be_late(file: int, operation: int) -> None:
        if not met:
            met.extend(temporary.iterdir())
            if how == "locked":
                raise BlockingIOError
            shutil.rmtree(met[0]) if how == "gone" else (met[0] / "lock").unlink()
        lock(file, operation)

    monkeypatch.setattr(scratch.fcntl, "flock", be_late)
    with scratch_folder() as folder:
        assert folder.exists() and folder.parent not in met


def test_a_full_disk_does_not_hide_what_fills_it(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own choice of a temporary folder writes there first, and takes another one where that fails."""
    with another_process() as (process, left):
        process.kill()
        process.wait()

    def nothing_can_be_written(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(tempfile, "_get_default_tempdir", nothing_can_be_written)
        full.setattr(tempfile, "tempdir", None)
        with scratch_folder() as folder:
            assert folder.parent.parent == temporary
    assert not left.exists()


def test_processes_that_begin_at_once_do_not_take_new_folders_for_leftovers(temporary: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", MAKES_MANY]) for _ in range(4)]

    assert [process.wait() for process in running] == [0, 0, 0, 0]
    assert list(temporary.iterdir()) == []

"""A directory as an object store: the same feed without a cloud."""

from __future__ import annotations

import os
import stat
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from cdc_merge.errors import StoreDenied, StoreUnavailable
from cdc_merge.feed.store import PAGE, Page, changed
from cdc_merge.model import ObjectRef

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGE_KEPT = 8  # how many large folders' names are kept
_KEPT_SECONDS = 60
_AT_REST_SECONDS = 2


@dataclass(frozen=True)
class _Names:
    """The sorted names of one directory as of `read_at`; a directory's own name ends in '/'."""

    modified_ns: int
    read_at: float
    names: tuple[str, ...]


class DirectoryStore:
    """The files below a directory. Names that start with '.' are hidden, links to directories not followed.

    A version is `<size>-<mtime in ns>`: it tells a file that was rewritten in place, unless both stay equal.
    """

    prefix = ""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time, setting: str = "changes") -> None:
        """`setting`: the one that names the place, for hints."""
        self._setting = setting
        self.bucket = str(directory)
        self.root = f"file://{directory}"
        self._directory = directory
        self._clock = clock
        self._large: dict[str, _Names] = {}

    def list_page(self, *, start_after: str | None, limit: int = PAGE) -> Page:
        refs = tuple(islice(self._walk("", start_after or ""), limit + 1))
        return Page(refs[:limit], is_last=len(refs) <= limit)

    def fetch(self, ref: ObjectRef, directory: Path) -> Path:
        path = self._directory / ref.key
        self.verify(ref, path)
        return path

    def begin(self, ref: ObjectRef, size: int) -> bytes:
        with self.fetch(ref, self._directory).open("rb") as file:
            return file.read(size)

    def verify(self, ref: ObjectRef, path: Path) -> None:
        found = self._ref(ref.key)
        if found is None or found.version != ref.version:
            raise changed(self.describe(ref))

    def describe(self, ref: ObjectRef) -> str:
        return f"{self.root}/{ref.key}"

    def _walk(self, folder: str, after: str) -> Iterator[ObjectRef]:
        """Files below `folder` ('' or 'a/b/') with key > after, in order; whole folders are skipped unread.

        A subfolder sorts as 'name/', because '/' is part of its files' keys: 'a-b' < 'a/b' < 'a0'.
        """
        names = self._names(folder)
        within = after[len(folder) :] if after.startswith(folder) else ""  # else the whole folder is after
        first = bisect_right(names, within)
        if first and names[first - 1].endswith("/") and within.startswith(names[first - 1]):
            first -= 1  # `after` lies in this subfolder: a part of it is still to come
        for name in islice(names, first, None):
            if name.endswith("/"):
                yield from self._walk(folder + name, after)
            elif (ref := self._ref(folder + name)) is not None:
                yield ref

    def _names(self, folder: str) -> tuple[str, ...]:
        """The names in a folder. Those of a large one are kept while it is unchanged, a minute at most.

        They are kept only if the folder had been at rest for two seconds: a file added in the same tick of
        the file system's clock as the reading would not change the folder's time.
        """
        path = self._directory / folder
        try:
            with self._reacting(f"{self.root}/{folder}"):
                modified_ns = path.stat().st_mtime_ns
                now = self._clock()
                known = self._large.get(folder)
                if known and known.modified_ns == modified_ns and 0 <= now - known.read_at < _KEPT_SECONDS:
                    return known.names
                with os.scandir(path) as entries:
                    names = tuple(sorted(filter(None, map(_name, entries))))
        except (FileNotFoundError, NotADirectoryError) as error:
            if folder:
                return ()  # removed since its parent was read
            raise StoreDenied(
                "there is no such directory", where=self.root, hint=f"create it, or correct `{self._setting}`"
            ) from error
        self._large.pop(folder, None)
        if len(names) > PAGE and now - modified_ns / 1e9 > _AT_REST_SECONDS:
            if len(self._large) >= _LARGE_KEPT:
                self._large.clear()
            self._large[folder] = _Names(modified_ns, now, names)
        return names

    def _ref(self, key: str) -> ObjectRef | None:
        """The file as it is now; None: gone, or not a file."""
        try:
            with self._reacting(f"{self.root}/{key}"):
                found = (self._directory / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        modified = _EPOCH + timedelta(microseconds=found.st_mtime_ns // 1000)
        return ObjectRef(key, f"{found.st_size}-{found.st_mtime_ns}", found.st_size, modified)

    @contextmanager
    def _reacting(self, where: str) -> Iterator[None]:
        """Turn an operating system's error into a reaction, except for what is simply not there."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise
        except (PermissionError, UnicodeEncodeError) as error:
            reason = "this name is not UTF-8" if isinstance(error, UnicodeEncodeError) else "it may not be read"
            hint = "rename it" if isinstance(error, UnicodeEncodeError) else "let the worker's user read it"
            raise StoreDenied(reason, where=where.encode(errors="replace").decode(), hint=hint) from error
        except OSError as error:
            raise StoreUnavailable(str(error), where=where, hint="look at the file system") from error


def _name(entry: os.DirEntry[str]) -> str | None:
    """An entry's name as it sorts among full keys; None: hidden, or neither a file nor a directory."""
    if entry.name.startswith("."):
        return None
    entry.name.encode()  # a key is text everywhere else, so a name that is not UTF-8 cannot be one
    if entry.is_dir(follow_symlinks=False):
        return f"{entry.name}/"
    return entry.name if entry.is_file() else None

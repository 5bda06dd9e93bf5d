"""A folder of a bucket or of a disk in which exports are looked for, by paths below it and with few requests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cdc_merge.errors import ObjectChanged, Refused, UsageError
from cdc_merge.exports.manifest import SUMMARY, TAKE_ANEW
from cdc_merge.feed.keys import just_before
from cdc_merge.feed.store import PAGE, ObjectStore, open_store
from cdc_merge.model import ObjectRef
from cdc_merge.scratch import scratch_folder

_MANIFESTS = "manifest-"  # what the names of manifests and of their checksums begin with
_MANIFESTS_AT_MOST = 20


def folder_url(text: str) -> str:
    """The URL, with a slash at its end, of what a user names by a URL or a local path: a folder or its summary."""
    url = text if re.match(r"[a-z0-9]+://", text) else f"file://{Path(text).expanduser().absolute()}"
    return url.removesuffix(SUMMARY).rstrip("/") + "/"


def name_of(url: str) -> str:
    """The last segment of a folder's URL."""
    return url.rstrip("/").rpartition("/")[2]


def parent_of(url: str) -> str:
    """The folder above a folder."""
    return url.rstrip("/").rpartition("/")[0] + "/"


def is_missing_directory(url: str) -> bool:
    """Whether the URL is of a local directory that does not exist; a bucket has no directories that could."""
    return url.startswith("file://") and not Path(url.removeprefix("file://")).is_dir()


@dataclass(frozen=True)
class Place:
    """A folder: its URL, with a slash at its end, and the store of what is below it."""

    url: str
    store: ObjectStore

    @staticmethod
    def open(url: str) -> Place:
        """The folder at a URL that ends in a slash. Raises UsageError if there cannot be one."""
        if is_missing_directory(url):
            raise UsageError("there is no such directory", where=url, hint="correct the path of the export")
        # below the bucket itself every key lies, so the store's prefix is empty then
        return Place(url, open_store(url, setting="exports"))

    def locate(self, path: str) -> str:
        """The URL of a path, for messages."""
        return self.url + path

    def first_after(self, path: str) -> str | None:
        """The first path that sorts after `path`. One request."""
        objects = self.store.list_page(start_after=self._key(path) or None, limit=1).objects
        return objects[0].key.removeprefix(self.store.prefix) if objects else None

    def has(self, path: str) -> bool:
        """Whether there is a file of this path, or any below it if it ends in a slash. One request."""
        found = self.first_after(path if path.endswith("/") else just_before(path))
        return found is not None and (found.startswith(path) if path.endswith("/") else found == path)

    def manifests(self, folder: str) -> dict[str, ObjectRef]:
        """The manifests in a folder ('' or 'a/b/') and their checksums, by name. One request."""
        start = self._key(folder + _MANIFESTS)
        objects = self.store.list_page(start_after=start, limit=_MANIFESTS_AT_MOST).objects
        return {ref.key.rpartition("/")[2]: ref for ref in objects if ref.key.startswith(start)}

    def find(self, paths: Iterable[str]) -> dict[str, ObjectRef]:
        """Those of the files that are there, by path.

        Reads the listing from one wanted file to the next, a page at a time: a thousand files of one folder take one
        request, and what lies between files of a shared folder is jumped over.
        """
        wanted = sorted({self._key(path) for path in paths})
        found: dict[str, ObjectRef] = {}
        done, after = 0, ""
        while done < len(wanted):
            after = max(after, just_before(wanted[done]))
            page = self.store.list_page(start_after=after, limit=min(PAGE, len(wanted) - done))
            listed = {ref.key: ref for ref in page.objects}
            if page.objects:
                after = page.objects[-1].key
            while done < len(wanted) and (page.is_last or wanted[done] <= after):
                if wanted[done] in listed:
                    found[wanted[done].removeprefix(self.store.prefix)] = listed[wanted[done]]
                done += 1
        return found

    def read(self, ref: ObjectRef) -> bytes:
        """The bytes of a manifest. Raises Refused if it is being rewritten."""
        try:
            with scratch_folder() as directory:
                return self.store.fetch(ref, directory).read_bytes()
        except ObjectChanged as error:
            raise rewritten(self.store.describe(ref)) from error

    def _key(self, path: str) -> str:
        return self.store.prefix + path


def rewritten(where: str) -> Refused:
    """The error for a file of an export that changes while it is read."""
    return Refused(
        "the file was rewritten or removed while the export was read",
        where=where,
        hint=f"let the copying of the export end and try again, or {TAKE_ANEW}",
    )

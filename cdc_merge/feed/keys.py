"""What the keys of a feed tell: which objects are data, and how to move about in a listing."""

from __future__ import annotations

from bisect import bisect_right

_LAST_CHARACTER = "\U0010ffff"

# What !{firehose:error-output-type} becomes; the first two are those of an S3 destination, the others appear
# when S3 is the backup of another one. The last two are not documented, but seen in the wild.
# https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html
# https://docs.aws.amazon.com/firehose/latest/dev/retry.html
ERROR_TYPES = frozenset(
    {
        "processing-failed",
        "format-conversion-failed",
        "AmazonOpenSearchService-failed",
        "AmazonOpenSearchService_failed",
        "elasticsearch-failed",
        "splunk-failed",
        "http-endpoint-failed",
        "snowflake-failed",
        "iceberg-failed",
        "metadata-extraction-failed",
    }
)


def error_folder(key: str, prefix: str) -> str | None:
    """The Firehose error folder `key` lies in, up to its '/'; None if it lies in none.

    Firehose appends the error type to the prefix as it is, so `cdc` gives `cdcprocessing-failed/`.
    """
    end = len(prefix)
    for segment in key[len(prefix) :].split("/")[:-1]:
        end += len(segment) + 1
        if segment in ERROR_TYPES:
            return key[:end]
    return None


def is_data(key: str, prefix: str, *, size: int = 0) -> bool:
    """Whether an object is part of the feed: not an error of Firehose, not an empty folder marker."""
    return not (key.endswith("/") and size == 0) and error_folder(key, prefix) is None


def just_before(key: str) -> str:
    """A position from which `key` is the first thing listed, but for keys that hold U+10FFFF."""
    last = ord(key[-1])
    if last == 0:
        return key[:-1]
    below = 0xD7FF if last == 0xE000 else last - 1  # surrogates are no characters
    return key[:-1] + chr(below) + _LAST_CHARACTER


def after_folder(folder: str) -> str:
    """A position after everything in `folder`, which ends in '/', but for names that begin with U+10FFFF."""
    return folder + _LAST_CHARACTER


def folder_of(key: str) -> str:
    """The folder a key lies in, with its '/'; empty at the top."""
    return key[: key.rfind("/") + 1]


class Ranges:
    """Stretches of a listing: each holds the keys after its start, up to and including its end (None: all).

    Stretches that meet become one.
    """

    def __init__(self) -> None:
        self._starts: list[str] = []
        self._ends: list[str | None] = []

    def add(self, start: str, end: str | None) -> None:
        """Put in the keys after `start`, up to `end`."""
        low = bisect_right(self._starts, start)
        if low and _reaches(self._ends[low - 1], start):
            low -= 1
            start = self._starts[low]
        high = low
        while high < len(self._starts) and _reaches(end, self._starts[high]):
            end = _further(end, self._ends[high])
            high += 1
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def leave(self, position: str) -> str | None:
        """The first position, from `position` on, whose next keys are in no stretch; None: there is none."""
        index = bisect_right(self._starts, position)
        if index == 0:
            return position
        end = self._ends[index - 1]
        return None if end is None else max(position, end)


def _reaches(end: str | None, position: str) -> bool:
    return end is None or position <= end


def _further(end: str | None, other: str | None) -> str | None:
    return None if end is None or other is None else max(end, other)

"""Writes a full export of the invented shop as DynamoDB leaves it in S3: manifests, checksums, gzipped data files.

The same arguments give the same bytes. Run it: python -m bench.export DIR --items 2000000
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from isal import igzip

from bench.ecommerce import CUSTOMERS, GROUP, TABLE, Shop
from bench.feed import DATA, make_once

ITEMS_OF_A_FILE = 250_000
EXPORT_ID = "01767402000000-5ca1ab1e"
AS_OF = datetime(2026, 1, 3, 1, tzinfo=UTC)
_LEAST_FILES = 4
_WRITTEN_AT_ONCE = 2000  # lines


@dataclass(frozen=True)
class ShopExport:
    """An export on disk. `folder` is the one that its manifests lie in."""

    folder: Path
    items: int

    @property
    def files(self) -> tuple[Path, ...]:
        """Its data files."""
        return tuple(sorted((self.folder / "data").iterdir()))


def shop_export(items: int, *, below: Path = DATA) -> ShopExport:
    """The export of a shop with so many items; generated if it is not there yet."""
    directory = below / f"export-{items}"
    make_once(directory, lambda place: write_export(place, items))
    return ShopExport(directory / "AWSDynamoDB" / EXPORT_ID, items)


def write_export(root: Path, items: int, *, seed: int = 1) -> None:
    """Write the export below `root`, one file after the other.

    Each file holds the customers of a shop of its own with all that is theirs, in no order, as hashed keys are.
    """
    folder = root / "AWSDynamoDB" / EXPORT_ID
    (folder / "data").mkdir(parents=True)
    count = max(_LEAST_FILES, -(-items // ITEMS_OF_A_FILE))
    listed = []
    customers = 0
    for number in range(count):
        mine = items * (number + 1) // count - items * number // count
        path = folder / "data" / f"{_name(seed, number)}.json.gz"
        _write_file(path, _lines(mine, seed * 1_000_003 + number, customers_before=customers))
        customers += (mine // GROUP + 1) * CUSTOMERS
        listed.append(
            {
                "itemCount": mine,
                "md5Checksum": base64.b64encode(_md5(path)).decode(),
                "etag": f"{_md5(path).hex()}-1",
                "dataFileS3Key": path.relative_to(root).as_posix(),
            }
        )
    _write_manifests(folder, listed, items)


def _lines(items: int, seed: int, *, customers_before: int) -> Iterator[str]:
    shop, rng = Shop(items, seed, customers_before=customers_before), Random(seed)
    numbers = list(range(items))
    rng.shuffle(numbers)
    for number in numbers:
        key, rest = shop.item(number, 1 + number % 3)
        yield f'{{"Item":{{{key}{rest}}}}}\n'


def _write_file(path: Path, lines: Iterator[str]) -> None:
    with path.open("wb") as file, igzip.IGzipFile("", "wb", 2, file, mtime=0) as sink:
        while some := "".join(islice(lines, _WRITTEN_AT_ONCE)):
            sink.write(some.encode())


def _write_manifests(folder: Path, listed: list[dict[str, Any]], items: int) -> None:
    at = AS_OF.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    summary = {
        "version": "2020-06-30",
        "exportArn": f"{TABLE}/export/{EXPORT_ID}",
        "startTime": at,
        "endTime": at,
        "tableArn": TABLE,
        "tableId": "12345a12-abcd-123a-ab12-1234abc12345",
        "exportTime": at,
        "s3Bucket": "lake",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"AWSDynamoDB/{EXPORT_ID}/manifest-files.json",
        "billedSizeBytes": 0,
        "itemCount": items,
        "outputFormat": "DYNAMODB_JSON",
        "exportType": "FULL_EXPORT",
    }
    (folder / "_started").touch()
    (folder / "manifest-files.json").write_text("".join(json.dumps(line) + "\n" for line in listed))
    (folder / "manifest-summary.json").write_text(json.dumps(summary))
    for name, checksum in (("manifest-files", "checksum"), ("manifest-summary", "md5")):
        digest = _md5(folder / f"{name}.json")
        (folder / f"{name}.{checksum}").write_bytes(base64.b64encode(digest))


def _name(seed: int, number: int) -> str:
    """Data files have 26 lower-case letters and digits."""
    digest = hashlib.sha256(f"{EXPORT_ID} {seed} {number}".encode()).digest()
    return base64.b32encode(digest).decode().lower()[:26]


def _md5(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.export", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--items", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    write_export(arguments.directory, arguments.items, seed=arguments.seed)
    print(arguments.directory / "AWSDynamoDB" / EXPORT_ID)


if __name__ == "__main__":
    main()

"""Writes exports as DynamoDB leaves them in a bucket: manifests with checksums, gzipped data files, an empty partition.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from hashlib import md5, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdc_merge.exports.manifest import ExportFormat, ExportKind

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TypedItem = Mapping[str, Mapping[str, Any]]
Change = tuple[TypedItem, TypedItem | None, int]

TABLE_ARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/ecommerce"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = Context(prec=64)


def write_export(
    root: Path,
    items: Iterable[TypedItem] = (),
    *,
    as_of: datetime,
    export_id: str | None = None,
    table_arn: str = TABLE_ARN,
    files: int = 3,
    kind: ExportKind = ExportKind.FULL,
    since: datetime | None = None,
    format: ExportFormat = ExportFormat.DYNAMODB_JSON,
    key: tuple[str, ...] = ("PK", "SK"),
    s3_prefix: str = "",
    with_prefix_in_keys: bool = False,
    export_type_in_manifest: bool = True,
    changes: Iterable[Change] = (),
    typed_micros: bool = True,
) -> Path:
    """Write one export below `root`, which stands for the bucket; returns the folder of the export.

    A full export takes `items`, DynamoDB JSON each; an incremental one `changes`: keys, the new image or None for a
    delete, and the time of the write in microseconds, written as {"N": ...} or, without `typed_micros`, as text.
    Items are dealt to `files` files by their key, and one more file is empty. The same arguments give the same bytes.
    """
    export_id = export_id or _export_id(as_of, f"{table_arn}{kind}{since}")
    parent = root / s3_prefix / "AWSDynamoDB"
    folder = parent / export_id
    data = (folder if kind is ExportKind.FULL else parent) / "data"
    data.mkdir(parents=True, exist_ok=True)
    suffix = "json.gz" if format is ExportFormat.DYNAMODB_JSON else "ion.gz"
    paths = [data / f"{_name(f'{export_id}{n}')}.{suffix}" for n in range(files + 1)]
    counts = [0] * len(paths)
    with ExitStack() as stack:
        raws = [stack.enter_context(path.open("wb")) for path in paths]
        outs = [
            stack.enter_context(gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0))
            for raw in raws
        ]
        for keys, record in _records(items, changes, kind=kind, key=key, typed_micros=typed_micros):
            n = zlib.crc32(repr(keys).encode()) % files
            outs[n].write(_line(record, format, kind))
            counts[n] += 1
    before = f"{s3_prefix}/" if with_prefix_in_keys and s3_prefix else ""
    lines = [
        {
            "itemCount": count,
            "md5Checksum": (checksum := _md5_of(path))[0],
            "etag": f"{checksum[1]}-1",
            "dataFileS3Key": before + path.relative_to(root / s3_prefix).as_posix(),
        }
        for path, count in zip(paths, counts, strict=True)
    ]
    files_manifest = "".join(_json(line) + "\n" for line in lines).encode()
    summary: dict[str, Any] = {
        "version": "2020-06-30" if kind is ExportKind.FULL else "2023-08-01",
        "exportArn": f"{table_arn}/export/{export_id}",
        "startTime": iso(as_of),
        "endTime": iso(as_of + timedelta(minutes=5)),
        "tableArn": table_arn,
        "tableId": "12345a12-abcd-123a-ab12-1234abc12345",
    }
    if kind is ExportKind.FULL:
        summary["exportTime"] = iso(as_of)
    else:
        summary |= {"exportFromTime": iso(since or as_of - timedelta(hours=1)), "exportToTime": iso(as_of)}
    summary |= {
        "s3Bucket": "ddb-exports",
        "s3Prefix": s3_prefix or None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"{before}AWSDynamoDB/{export_id}/manifest-files.json",
        "billedSizeBytes": 0,
        "itemCount": sum(counts),
        "outputFormat": str(format),
    }
    if kind is ExportKind.INCREMENTAL:
        summary["outputView"] = "NEW_IMAGE"
    if export_type_in_manifest:
        summary["exportType"] = str(kind)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_started").write_bytes(b"")
    write_manifest(folder, "files", files_manifest)
    write_manifest(folder, "summary", _json(summary).encode())
    return folder


def write_manifest(folder: Path, which: str, data: bytes) -> None:
    """A manifest ("summary" or "files") and its checksum beside it, in the two spellings that AWS names."""
    (folder / f"manifest-{which}.json").write_bytes(data)
    spelling = {"summary": "md5", "files": "checksum"}[which]
    (folder / f"manifest-{which}.{spelling}").write_bytes(base64.b64encode(md5(data).digest()))


def change_manifest(folder: Path, **fields: Any) -> None:
    """Rewrite fields of the summary, with a right checksum; None takes one away."""
    summary = json.loads((folder / "manifest-summary.json").read_bytes()) | fields
    kept = {name: value for name, value in summary.items() if value is not None or name not in fields}
    write_manifest(folder, "summary", _json(kept).encode())


def upload(root: Path, client: S3Client, bucket: str, prefix: str = "") -> str:
    """Put every file below `root` into a bucket, below `prefix`; returns the URL of it all."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            client.put_object(Bucket=bucket, Key=prefix + path.relative_to(root).as_posix(), Body=path.read_bytes())
    return f"s3://{bucket}/{prefix}"


def iso(time: datetime) -> str:
    """A time as manifests have it: 2020-11-04T07:28:34.028Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ion_value(value: Mapping[str, Any]) -> str:
    """A typed value as DynamoDB writes it in Ion text."""
    ((kind, plain),) = value.items()
    match kind:
        case "S":
            return _json(plain)
        case "N":
            return _ion_decimal(plain)
        case "BOOL":
            return "true" if plain else "false"
        case "NULL":
            return "null"
        case "B":
            return f"{{{{{plain}}}}}"
        case "M":
            return ion_struct(plain)
        case "L":
            return f"[{','.join(map(ion_value, plain))}]"
        case "SS" | "NS" | "BS":
            return f"$dynamodb_{kind}::[{','.join(ion_value({kind[0]: each}) for each in plain)}]"
    raise TypeError(f"DynamoDB has no type {kind}")


def ion_struct(item: TypedItem) -> str:
    """An item, or a map, in Ion text."""
    return "{" + ",".join(f"{_ion_symbol(name)}:{ion_value(value)}" for name, value in item.items()) + "}"


def _records(
    items: Iterable[TypedItem], changes: Iterable[Change], *, kind: ExportKind, key: tuple[str, ...], typed_micros: bool
) -> Iterable[tuple[object, dict[str, Any]]]:
    """Each record in DynamoDB JSON, with what its file is told by."""
    if kind is ExportKind.FULL:
        for item in items:
            yield [item[name] for name in key if name in item], {"Item": item}
        return
    for keys, new_image, micros in changes:
        at = {"N": str(micros)} if typed_micros else str(micros)
        record: dict[str, Any] = {"Metadata": {"WriteTimestampMicros": at}, "Keys": keys}
        yield keys, record if new_image is None else record | {"NewImage": new_image}


def _line(record: Mapping[str, Any], format: ExportFormat, kind: ExportKind) -> bytes:
    if format is ExportFormat.DYNAMODB_JSON:
        return f"{_json(record)}\n".encode()
    if kind is ExportKind.FULL:
        return f"$ion_1_0 {{Item:{ion_struct(record['Item'])}}}\n".encode()
    at = record["Metadata"]["WriteTimestampMicros"]
    micros = _json(at) if isinstance(at, str) else f"{at['N']}."
    images = [f",{name}:{ion_struct(record[name])}" for name in ("OldImage", "NewImage") if name in record]
    metadata = f"Metadata:{{WriteTimestampMicros:{micros}}}"
    return f"$ion_1_0 {{Record:{{Keys:{ion_struct(record['Keys'])},{metadata}{''.join(images)}}}}}\n".encode()


def _ion_symbol(name: str) -> str:
    if re.fullmatch(r"[A-Za-z_$][\w$]*", name, re.ASCII) and name not in ("null", "true", "false", "nan"):
        return f"'{name}'" if name.startswith("$") else name
    return "'" + _json(name)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _ion_decimal(number: str) -> str:
    """600 is 6d2, 103 is 103., 1.5 is itself."""
    sign, digits, exponent = Decimal(number).normalize(_EXACT).as_tuple()
    assert isinstance(exponent, int)
    coefficient = f"{'-' if sign else ''}{''.join(map(str, digits))}"
    if exponent == 0:
        return f"{coefficient}."
    if -20 < exponent < 0:
        return format(Decimal(number).normalize(_EXACT), "f")
    return f"{coefficient}d{exponent}"


def _export_id(as_of: datetime, salt: str) -> str:
    millis = (as_of - _EPOCH) // timedelta(milliseconds=1)
    return f"{millis:014d}-{sha256(f'{millis}{salt}'.encode()).hexdigest()[:8]}"


def _name(salt: str) -> str:
    """Data files have 26 lower-case letters and digits."""
    return base64.b32encode(sha256(salt.encode()).digest()).decode().lower()[:26]


def _md5_of(path: Path) -> tuple[str, str]:
    digest = md5()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return base64.b64encode(digest.digest()).decode(), digest.hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

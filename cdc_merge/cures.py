"""What can be done about a record or an object in quarantine, by its reason: docs/quarantine.md says the same."""

from __future__ import annotations

from collections.abc import Mapping

CURES: Mapping[str, str] = {
    "not_json": "see what writes them; discard",
    "truncated": "Firehose usually wrote the record again elsewhere; discard",
    "too_long": "a missing quote or brace before it; discard",
    "too_deep": "see what writes them; discard",
    "not_utf8": "mend the Lambda that writes them",
    "unknown_shape": "something else writes below this prefix: move it",
    "firehose_error": "let Firehose write errors outside the data prefix; its `rawData`, base64, is the change",
    "unknown_event": "mend the Lambda that changes records",
    "no_key": "mend the Lambda; or `key` in the configuration is wrong for this record",
    "key_type": "records of another table below this prefix: move them",
    "no_position": "mend the Lambda that drops it",
    "no_image": "mend the Lambda that drops it; if the stream has no new images, the source stops instead",
    "key_too_long": "merge this source into DuckDB, or shorten the key",
    "key_has_nul": "merge this source into DuckDB, or write the item under another key",
    "key_ends_in_blank": "merge this source into another warehouse, or write the item under another key",
    "key_too_precise": "merge this source into Postgres",
    "corrupt": "put the object there again, then retry; or discard",
    "too_large": "if it is no mistake, raise `batch.bytes`, then retry",
    "parquet": "turn off record format conversion in Firehose: it lowercases names, so `Price` and `price` collide",
    "orc": "turn off record format conversion in Firehose, as for Parquet",
    "encrypted": "write it unencrypted; S3 encrypts at rest",
    "unsupported": "use GZIP, or ZIP as Firehose writes it",
}

__all__ = ["CURES"]

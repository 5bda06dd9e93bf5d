-- [create schema]
CREATE SCHEMA IF NOT EXISTS "analytics";

-- [create customers]
-- A target's table: the item's key, its columns, and what cdc-merge keeps of each row.
CREATE TABLE "analytics"."customers" (
    "pk" text COLLATE "C" NOT NULL,
    "sk" numeric NOT NULL,
    "username" text COLLATE "C",
    "spent" NUMERIC(12, 2),
    "addresses" jsonb,
    "city" text COLLATE "C",
    _cdc_position text COLLATE "C" NOT NULL,
    _cdc_changed_at timestamp with time zone,
    _cdc_merged_at timestamp with time zone NOT NULL,
    _cdc_rescued json
    , PRIMARY KEY ("pk", "sk")
);

-- [create or"ders']
-- A target's table: the item's key, its columns, and what cdc-merge keeps of each row.
CREATE TABLE "analytics"."or""ders'" (
    "pk" text COLLATE "C" NOT NULL,
    "sk" numeric NOT NULL,
    "select" bigint,
    "created_at" timestamp with time zone,
    "paid" boolean,
    "token" bytea,
    _cdc_position text COLLATE "C" NOT NULL,
    _cdc_changed_at timestamp with time zone,
    _cdc_merged_at timestamp with time zone NOT NULL,
    _cdc_rescued json
    , PRIMARY KEY ("pk", "sk")
);

-- [record source]
-- What is the same for all records of the source: it is learned once and then held to.
INSERT INTO "cdc_merge"."sources" (source, ordering, key_types, table_arn)
VALUES ('e''commerce', 'sequence', 'S N', 'arn:aws:dynamodb:eu-central-1:1:table/shop');

-- [record source]
-- An export came first and showed the keys' types; the first record shows what orders the changes.
UPDATE "cdc_merge"."sources"
SET ordering = 'time', table_arn = coalesce(table_arn, NULL)
WHERE source = 'e''commerce';

-- [hold schemas]
-- What the targets' columns are now, under the lock.
SELECT target, columns FROM "cdc_merge"."targets" WHERE source = 'e''commerce';

-- [record columns of customers]
-- What the target's columns are, for the next batch and for people.
INSERT INTO "cdc_merge"."targets" (source, target, floor_at, columns)
VALUES ('e''commerce', 'customers', NULL, '{"attributes": ["PK", "SK"], "key": ["pk", "sk"], "where": [{"path": ["Type"], "any_of": ["Customer"]}], "columns": [{"name": "username", "path": ["Username"], "type": "text", "precision": null, "scale": null, "unit": null}, {"name": "spent", "path": ["TotalSpent"], "type": "numeric", "precision": 12, "scale": 2, "unit": null}, {"name": "addresses", "path": ["Addresses"], "type": "json", "precision": null, "scale": null, "unit": null}, {"name": "city", "path": ["Addresses", "Home", "City"], "type": "text", "precision": null, "scale": null, "unit": null}]}');

-- [record columns of or"ders']
-- What the target's columns are, for the next batch and for people.
INSERT INTO "cdc_merge"."targets" (source, target, floor_at, columns)
VALUES ('e''commerce', 'or"ders''', NULL, '{"attributes": ["PK", "SK"], "key": ["pk", "sk"], "where": [{"path": ["Type"], "any_of": ["Order"]}], "columns": [{"name": "select", "path": ["select"], "type": "integer", "precision": null, "scale": null, "unit": null}, {"name": "created_at", "path": ["CreatedAt"], "type": "timestamp", "precision": null, "scale": null, "unit": null}, {"name": "paid", "path": ["Paid"], "type": "boolean", "precision": null, "scale": null, "unit": null}, {"name": "token", "path": ["Token"], "type": "binary", "precision": null, "scale": null, "unit": null}]}');

-- [forget objects]
-- A replay reads objects again: their ledger rows are written anew.
DELETE FROM "cdc_merge"."objects" AS o
USING _cdc_objects AS s
WHERE o.source = 'e''commerce'
    AND o.bucket = s.bucket
    AND o.object_key = s.object_key
    AND o.version = s.version;

-- [record objects]
-- The ledger. Its primary key refuses a batch that another worker has merged in the meantime.
INSERT INTO "cdc_merge"."objects" (source, bucket, object_key, version, bytes, modified_at, records, batch_id, merged_at)
SELECT 'e''commerce', s.bucket, s.object_key, s.version, s.bytes, s.modified_at, s.records, '0123456789abcdef', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_objects AS s;

-- [release quarantine]
-- Records that are tried again leave the quarantine in the same transaction; what fails again returns to it.
DELETE FROM "cdc_merge"."quarantine"
WHERE id IN ('00aa', '00bb');

-- [record quarantine]
-- What could not be used waits here. Reading an object again does not enter its records twice.
INSERT INTO "cdc_merge"."quarantine" (
    id, source, bucket, object_key, version, record, byte_offset, reason, detail, "raw", batch_id, quarantined_at
)
SELECT
    s.id, 'e''commerce', s.bucket, s.object_key, s.version, s.record, s.byte_offset, s.reason, s.detail, s."raw",
    '0123456789abcdef', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_quarantine AS s
WHERE NOT EXISTS (SELECT 1 FROM "cdc_merge"."quarantine" AS q WHERE q.id = s.id);

-- [record batch]
-- A batch without one usable record: no target is touched.
INSERT INTO "cdc_merge"."batches" (
    batch_id, source, worker, merged_at, newest_change_at, objects, records, applied, superseded, stale, ignored, quarantined
)
VALUES (
    '0123456789abcdef', 'e''commerce', 'host:1', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), 3, 1200,
    0, 450, 0, 0, 4
);

-- [drop resolved]
DROP TABLE IF EXISTS _cdc_resolved;

-- [resolve]
-- For each staged key: what the warehouse knows of it, and for each target whether the change is accepted there.
-- A change is stale where its time is at or before the target's floor, where the target's own row is as new or
-- newer, or where a sibling's row or the tombstone is newer. (An equal position in a sibling does not stop it, so
-- that a target added later can be filled by replay.) Siblings are also the tables of targets that the
-- configuration no longer has.
CREATE TEMPORARY TABLE _cdc_resolved AS
SELECT
    -- Of the rows only what is asked for afterwards: their positions are as long as all the rest.
    known.n, known.partition_key, known.sort_key, known.position, known.changed_at, known.removed, known.could, known.tombstone
    , known.takes_0
    , known.row_0
    , coalesce(known.own_0 = known.position, FALSE) AS is_same_0
    , known.own_0 IS NOT NULL AS is_there_0
    , (
        -- Read here, under the lock: a reconcile may have raised it while this batch was decoded.
        coalesce(
            known.changed_at > (
                SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'customers'
            ), TRUE
        )
        AND coalesce(known.own_0 < known.position, TRUE)
        AND coalesce(known.tombstone <= known.position, TRUE)
        AND coalesce(known.own_1 <= known.position, TRUE)
        AND coalesce(known.own_2 <= known.position, TRUE)
    ) AS accepted_0
    , known.takes_1
    , known.row_1
    , coalesce(known.own_1 = known.position, FALSE) AS is_same_1
    , known.own_1 IS NOT NULL AS is_there_1
    , (
        -- Read here, under the lock: a reconcile may have raised it while this batch was decoded.
        coalesce(
            known.changed_at > (
                SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'or"ders'''
            ), TRUE
        )
        AND coalesce(known.own_1 < known.position, TRUE)
        AND coalesce(known.tombstone <= known.position, TRUE)
        AND coalesce(known.own_0 <= known.position, TRUE)
        AND coalesce(known.own_2 <= known.position, TRUE)
    ) AS accepted_1
FROM (
    SELECT
        s.*
        , ts.position AS tombstone
        , t0._cdc_position AS own_0
        , t0.ctid AS row_0
        , t1._cdc_position AS own_1
        , t1.ctid AS row_1
        , t2._cdc_position AS own_2
        , t2.ctid AS row_2
    -- They lie in this order as a rule, so it costs little, and the keys' index can be walked along instead of hashed.
    FROM (SELECT * FROM _cdc_keys ORDER BY partition_key, sort_key) AS s
    LEFT JOIN "cdc_merge"."tombstones" AS ts
        ON ts.source = 'e''commerce'
        AND ts.partition_key = s.partition_key
        AND ts.sort_key = s.sort_key
    LEFT JOIN "analytics"."customers" AS t0
        ON t0."pk" = s.partition_key
        AND t0."sk" = decode(s.sort_key, 'base64')
        -- Whatever became of the column's collation: the range is one of bytes.
        AND t0."pk" COLLATE "C" BETWEEN 'a' AND 'it''s z'
    LEFT JOIN "analytics"."or""ders'" AS t1
        ON t1."pk" = s.partition_key
        AND t1."sk" = decode(s.sort_key, 'base64')
        -- Whatever became of the column's collation: the range is one of bytes.
        AND t1."pk" COLLATE "C" BETWEEN 'a' AND 'it''s z'
    LEFT JOIN "analytics"."leads" AS t2
        ON t2."pk" = s.partition_key
        AND t2."sk" = decode(s.sort_key, 'base64')
        -- Whatever became of the column's collation: the range is one of bytes.
        AND t2."pk" COLLATE "C" BETWEEN 'a' AND 'it''s z'
) AS known;

-- [analyze resolved]
ANALYZE _cdc_resolved;

-- [count rows of customers]
SELECT count(*) FROM _cdc_resolved AS r WHERE r.accepted_0 AND r.row_0 IS NOT NULL;

-- [delete from customers]
-- The rows of accepted changes go, replaced or not. They are found by their address within this transaction.
DELETE FROM "analytics"."customers" AS t
WHERE t.ctid = ANY (ARRAY(
    SELECT r.row_0
    FROM _cdc_resolved AS r
    WHERE r.accepted_0
        AND r.row_0 IS NOT NULL
));

-- [insert into customers]
-- The images of accepted changes become rows.
INSERT INTO "analytics"."customers" (
    "pk",
    "sk",
    "username",
    "spent",
    "addresses",
    "city",
    _cdc_position, _cdc_changed_at, _cdc_merged_at, _cdc_rescued
)
SELECT
    r.partition_key,
    decode(r.sort_key, 'base64'),
    CAST(s.c0 AS text),
    CAST(s.c1 AS NUMERIC(12, 2)),
    CAST(s.c2 AS jsonb),
    CAST(s.c3 AS text),
    r.position, r.changed_at, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST(s.rescued AS json)
FROM _cdc_rows_0 AS s
JOIN _cdc_resolved AS r ON r.n = s.n
WHERE r.accepted_0
-- In the order of the key's index, which then is filled page by page instead of here and there.
ORDER BY r.partition_key, r.sort_key;

-- [count rows of or"ders']
SELECT count(*) FROM _cdc_resolved AS r WHERE r.accepted_1 AND r.row_1 IS NOT NULL;

-- [delete from or"ders']
-- The rows of accepted changes go, replaced or not. They are found by their address within this transaction.
DELETE FROM "analytics"."or""ders'" AS t
WHERE t.ctid = ANY (ARRAY(
    SELECT r.row_1
    FROM _cdc_resolved AS r
    WHERE r.accepted_1
        AND r.row_1 IS NOT NULL
));

-- [insert into or"ders']
-- The images of accepted changes become rows.
INSERT INTO "analytics"."or""ders'" (
    "pk",
    "sk",
    "select",
    "created_at",
    "paid",
    "token",
    _cdc_position, _cdc_changed_at, _cdc_merged_at, _cdc_rescued
)
SELECT
    r.partition_key,
    decode(r.sort_key, 'base64'),
    CAST(s.c0 AS bigint),
    CAST(s.c1 AS timestamp with time zone),
    CAST(s.c2 AS boolean),
    CAST(s.c3 AS bytea),
    r.position, r.changed_at, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST(s.rescued AS json)
FROM _cdc_rows_1 AS s
JOIN _cdc_resolved AS r ON r.n = s.n
WHERE r.accepted_1
-- In the order of the key's index, which then is filled page by page instead of here and there.
ORDER BY r.partition_key, r.sort_key;

-- [delete tombstones]
-- What was accepted is newer than the key's tombstone, so that one has done its work.
DELETE FROM "cdc_merge"."tombstones" AS ts
USING _cdc_resolved AS r
WHERE ts.source = 'e''commerce'
    AND ts.partition_key = r.partition_key
    AND ts.sort_key = r.sort_key
    AND r.tombstone IS NOT NULL
    AND (r.accepted_0 OR r.accepted_1);

-- [insert tombstones]
-- Everything accepted leaves a trace: where no row bears the change's position, a tombstone does. Only a key that
-- by itself shows that no target could ever take the item needs none; but where a `where` was another once, and left a
-- row or a tombstone, what takes its place must be known when it is so again.
INSERT INTO "cdc_merge"."tombstones" (source, partition_key, sort_key, position, changed_at)
SELECT 'e''commerce', r.partition_key, r.sort_key, r.position, r.changed_at
FROM _cdc_resolved AS r
WHERE (r.could OR r.tombstone IS NOT NULL OR r.is_there_0 OR r.is_there_1)
    AND (r.accepted_0 OR r.accepted_1)
    AND NOT (r.takes_0 AND (r.accepted_0 OR r.is_same_0))
    AND NOT (r.takes_1 AND (r.accepted_1 OR r.is_same_1));

-- [record batch]
-- The books of the batch: each newest change by the best that became of it; the rest was counted before.
INSERT INTO "cdc_merge"."batches" (
    batch_id, source, worker, merged_at, newest_change_at, objects, records, applied, superseded, stale, ignored, quarantined
)
SELECT
    '0123456789abcdef', 'e''commerce', 'host:1', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), 3, 1200,
    count(*) FILTER (WHERE outcome = 'applied'),
    450,
    count(*) FILTER (WHERE outcome = 'stale'),
    count(*) FILTER (WHERE outcome = 'ignored'),
    4
FROM (
    SELECT
        CASE
            -- No target could take such a key; but one could before its `where` was changed, and then there is a row.
            WHEN r.removed AND NOT r.could THEN CASE
                WHEN r.accepted_0 AND r.is_there_0 THEN 'applied'
                WHEN r.accepted_1 AND r.is_there_1 THEN 'applied'
                WHEN r.is_there_0 THEN 'stale'
                WHEN r.is_there_1 THEN 'stale'
                ELSE 'ignored'
            END
            WHEN r.removed AND (r.accepted_0 OR r.accepted_1)
                AND coalesce(r.tombstone < r.position, TRUE) THEN 'applied'
            WHEN r.removed THEN 'stale'
            WHEN r.accepted_0 AND (r.takes_0 OR r.is_there_0) THEN 'applied'
            WHEN r.accepted_1 AND (r.takes_1 OR r.is_there_1) THEN 'applied'
            WHEN r.takes_0 OR r.takes_1 THEN 'stale'
            ELSE 'ignored'
        END AS outcome
    FROM _cdc_resolved AS r
) AS judged;

-- [record customers]
-- What the batch did to one target.
INSERT INTO "cdc_merge"."batch_targets" (batch_id, target, inserted, updated, deleted)
SELECT
    '0123456789abcdef', 'customers',
    count(*) FILTER (WHERE r.takes_0 AND NOT r.is_there_0),
    count(*) FILTER (WHERE r.takes_0 AND r.is_there_0),
    count(*) FILTER (WHERE NOT r.takes_0 AND r.is_there_0)
FROM _cdc_resolved AS r
WHERE r.accepted_0;

-- [record or"ders']
-- What the batch did to one target.
INSERT INTO "cdc_merge"."batch_targets" (batch_id, target, inserted, updated, deleted)
SELECT
    '0123456789abcdef', 'or"ders''',
    count(*) FILTER (WHERE r.takes_1 AND NOT r.is_there_1),
    count(*) FILTER (WHERE r.takes_1 AND r.is_there_1),
    count(*) FILTER (WHERE NOT r.takes_1 AND r.is_there_1)
FROM _cdc_resolved AS r
WHERE r.accepted_1;

-- [add unmatched]
-- Items that no target takes, of entities of which there were some before.
UPDATE "cdc_merge"."unmatched" AS u
SET items = u.items + s.items, last_seen_at = CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_unmatched AS s
WHERE u.source = 'e''commerce' AND u.entity = s.entity;

-- [insert unmatched]
-- Those of entities that are new.
INSERT INTO "cdc_merge"."unmatched" (source, entity, items, last_seen_at)
SELECT 'e''commerce', s.entity, s.items, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_unmatched AS s
WHERE NOT EXISTS (SELECT 1 FROM "cdc_merge"."unmatched" AS u WHERE u.source = 'e''commerce' AND u.entity = s.entity);

-- [add misfits]
-- Rows with values that their column did not take, where there were some before. A sample that was erased is replaced.
UPDATE "cdc_merge"."misfits" AS m
SET
    "rows" = m."rows" + s."rows",
    first_value = CASE WHEN m.first_key IS NULL THEN s.first_value ELSE m.first_value END,
    first_key = coalesce(m.first_key, s.first_key),
    last_seen_at = CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_misfits AS s
WHERE m.source = 'e''commerce' AND m.target = s.target AND m.column_name = s.column_name;

-- [insert misfits]
-- The first of a column, with a sample.
INSERT INTO "cdc_merge"."misfits" (
    source, target, column_name, attribute, "rows", first_key, first_value, first_seen_at, last_seen_at
)
SELECT
    'e''commerce', s.target, s.column_name, s.attribute, s."rows", s.first_key, s.first_value, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_misfits AS s
WHERE NOT EXISTS (
    SELECT 1 FROM "cdc_merge"."misfits" AS m
    WHERE m.source = 'e''commerce' AND m.target = s.target AND m.column_name = s.column_name
);

-- [forget misfits]
-- The tables are made anew: what did not fit the old ones says nothing of them, and may be masked now.
DELETE FROM "cdc_merge"."misfits"
WHERE source = 'e''commerce'
    AND target IN ('customers', 'or"ders''');

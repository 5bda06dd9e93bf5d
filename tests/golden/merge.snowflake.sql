-- [create schema]
CREATE SCHEMA IF NOT EXISTS "ANALYTICS";

-- [create customers]
-- A target's table: the item's key, its columns, and what cdc-merge keeps of each row.
CREATE TABLE IF NOT EXISTS "ANALYTICS"."CUSTOMERS" (
    "PK" VARCHAR NOT NULL,
    "SK" NUMERIC(38, 18) NOT NULL,
    "USERNAME" VARCHAR,
    "SPENT" NUMERIC(12, 2),
    "ADDRESSES" VARIANT,
    "CITY" VARCHAR,
    _cdc_position VARCHAR NOT NULL,
    _cdc_changed_at TIMESTAMP_TZ,
    _cdc_merged_at TIMESTAMP_TZ NOT NULL,
    _cdc_rescued VARCHAR
);

-- [create or"ders']
-- A target's table: the item's key, its columns, and what cdc-merge keeps of each row.
CREATE TABLE IF NOT EXISTS "ANALYTICS"."OR""DERS'" (
    "PK" VARCHAR NOT NULL,
    "SK" NUMERIC(38, 18) NOT NULL,
    "SELECT" NUMERIC(38, 0),
    "CREATED_AT" TIMESTAMP_TZ,
    "PAID" BOOLEAN,
    "TOKEN" BINARY,
    _cdc_position VARCHAR NOT NULL,
    _cdc_changed_at TIMESTAMP_TZ,
    _cdc_merged_at TIMESTAMP_TZ NOT NULL,
    _cdc_rescued VARCHAR
);

-- [foresee _cdc_resolved]
-- For each staged key: what the warehouse knows of it, and for each target whether the change is accepted there.
-- A change is stale where its time is at or before the target's floor, where the target's own row is as new or
-- newer, or where a sibling's row or the tombstone is newer. (An equal position in a sibling does not stop it, so
-- that a target added later can be filled by replay.) Siblings are also the tables of targets that the
-- configuration no longer has.
CREATE OR REPLACE TEMPORARY TABLE _cdc_resolved AS
SELECT
    -- Of the rows only what is asked for afterwards: their positions are as long as all the rest.
    known.n, known.partition_key, known.sort_key, known.position, known.changed_at, known.removed, known.could, known.tombstone
    , known.takes_0
    , coalesce(known.own_0 = known.position, FALSE) AS is_same_0
    , known.own_0 IS NOT NULL AS is_there_0
    , (
        -- Read here, under the lock: a reconcile may have raised it while this batch was decoded.
        coalesce(
            known.changed_at > (
                SELECT f.floor_at FROM "CDC_MERGE"."TARGETS" AS f WHERE f.source = 'e''commerce' AND f.target = 'customers'
            ), TRUE
        )
        AND coalesce(known.own_0 < known.position, TRUE)
        AND coalesce(known.tombstone <= known.position, TRUE)
        AND coalesce(known.own_1 <= known.position, TRUE)
        AND coalesce(known.own_2 <= known.position, TRUE)
    ) AS accepted_0
    , known.takes_1
    , coalesce(known.own_1 = known.position, FALSE) AS is_same_1
    , known.own_1 IS NOT NULL AS is_there_1
    , (
        -- Read here, under the lock: a reconcile may have raised it while this batch was decoded.
        coalesce(
            known.changed_at > (
                SELECT f.floor_at FROM "CDC_MERGE"."TARGETS" AS f WHERE f.source = 'e''commerce' AND f.target = 'or"ders'''
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
        , t0.own AS own_0
        , t1.own AS own_1
        , t2.own AS own_2
    FROM _cdc_keys AS s
    LEFT JOIN "CDC_MERGE"."TOMBSTONES" AS ts
        ON ts.source = 'e''commerce'
        AND ts.partition_key = s.partition_key
        AND ts.sort_key = s.sort_key
    LEFT JOIN (
        -- No primary key keeps a row from being there twice: one row a key comes out of this, whatever was done by hand.
        SELECT s.n, max(t._cdc_position) AS own
        FROM _cdc_keys AS s
        JOIN "ANALYTICS"."CUSTOMERS" AS t
            ON t."PK" = s.partition_key
            AND t."SK" = TO_BINARY(s.sort_key, 'BASE64')
        GROUP BY s.n
    ) AS t0 ON t0.n = s.n
    LEFT JOIN (
        -- No primary key keeps a row from being there twice: one row a key comes out of this, whatever was done by hand.
        SELECT s.n, max(t._cdc_position) AS own
        FROM _cdc_keys AS s
        JOIN "ANALYTICS"."OR""DERS'" AS t
            ON t."PK" = s.partition_key
            AND t."SK" = TO_BINARY(s.sort_key, 'BASE64')
        GROUP BY s.n
    ) AS t1 ON t1.n = s.n
    LEFT JOIN (
        -- No primary key keeps a row from being there twice: one row a key comes out of this, whatever was done by hand.
        SELECT s.n, max(t._cdc_position) AS own
        FROM _cdc_keys AS s
        JOIN "ANALYTICS"."LEADS" AS t
            ON t."PK" = s.partition_key
            AND t."SK" = TO_BINARY(s.sort_key, 'BASE64')
        GROUP BY s.n
    ) AS t2 ON t2.n = s.n
) AS known
LIMIT 0;

-- [look into customers]
SELECT 1 FROM "ANALYTICS"."CUSTOMERS" LIMIT 1;

-- [look into or"ders']
SELECT 1 FROM "ANALYTICS"."OR""DERS'" LIMIT 1;

-- [record source]
-- What is the same for all records of the source: it is learned once and then held to.
INSERT INTO "CDC_MERGE"."SOURCES" (source, ordering, key_types, table_arn)
VALUES ('e''commerce', 'sequence', 'S N', 'arn:aws:dynamodb:eu-central-1:1:table/shop');

-- [record source]
-- An export came first and showed the keys' types; the first record shows what orders the changes.
UPDATE "CDC_MERGE"."SOURCES"
SET ordering = 'time', table_arn = coalesce(table_arn, NULL)
WHERE source = 'e''commerce';

-- [hold schemas]
-- What the targets' columns are now, under the lock.
SELECT target, columns FROM "CDC_MERGE"."TARGETS" WHERE source = 'e''commerce';

-- [record columns of customers]
-- What the target's columns are, for the next batch and for people.
INSERT INTO "CDC_MERGE"."TARGETS" (source, target, floor_at, columns)
VALUES ('e''commerce', 'customers', NULL, '{"attributes": ["PK", "SK"], "key": ["pk", "sk"], "where": [{"path": ["Type"], "any_of": ["Customer"]}], "columns": [{"name": "username", "path": ["Username"], "type": "text", "precision": null, "scale": null, "unit": null}, {"name": "spent", "path": ["TotalSpent"], "type": "numeric", "precision": 12, "scale": 2, "unit": null}, {"name": "addresses", "path": ["Addresses"], "type": "json", "precision": null, "scale": null, "unit": null}, {"name": "city", "path": ["Addresses", "Home", "City"], "type": "text", "precision": null, "scale": null, "unit": null}]}');

-- [record columns of or"ders']
-- What the target's columns are, for the next batch and for people.
INSERT INTO "CDC_MERGE"."TARGETS" (source, target, floor_at, columns)
VALUES ('e''commerce', 'or"ders''', NULL, '{"attributes": ["PK", "SK"], "key": ["pk", "sk"], "where": [{"path": ["Type"], "any_of": ["Order"]}], "columns": [{"name": "select", "path": ["select"], "type": "integer", "precision": null, "scale": null, "unit": null}, {"name": "created_at", "path": ["CreatedAt"], "type": "timestamp", "precision": null, "scale": null, "unit": null}, {"name": "paid", "path": ["Paid"], "type": "boolean", "precision": null, "scale": null, "unit": null}, {"name": "token", "path": ["Token"], "type": "binary", "precision": null, "scale": null, "unit": null}]}');

-- [forget objects]
-- A replay reads objects again: their ledger rows are written anew.
DELETE FROM "CDC_MERGE"."OBJECTS"
USING _cdc_objects AS s
WHERE "OBJECTS".source = 'e''commerce'
    AND "OBJECTS".bucket = s.bucket
    AND "OBJECTS".object_key = s.object_key
    AND "OBJECTS".version = s.version;

-- [record objects]
-- The ledger. No key is enforced here: it is the lock, and this look, that keep a batch from being merged twice.
INSERT INTO "CDC_MERGE"."OBJECTS" (source, bucket, object_key, version, bytes, modified_at, records, batch_id, merged_at)
SELECT 'e''commerce', s.bucket, s.object_key, s.version, s.bytes, s.modified_at, s.records, '0123456789abcdef', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_objects AS s
LEFT JOIN "CDC_MERGE"."OBJECTS" AS o
    ON o.source = 'e''commerce'
    AND o.bucket = s.bucket
    AND o.object_key = s.object_key
    AND o.version = s.version
WHERE o.source IS NULL;

-- [release quarantine]
-- Records that are tried again leave the quarantine in the same transaction; what fails again returns to it.
DELETE FROM "CDC_MERGE"."QUARANTINE"
WHERE id IN ('00aa', '00bb');

-- [record quarantine]
-- What could not be used waits here. Reading an object again does not enter its records twice.
INSERT INTO "CDC_MERGE"."QUARANTINE" (
    id, source, bucket, object_key, version, record, byte_offset, reason, detail, "RAW", batch_id, quarantined_at
)
SELECT
    s.id, 'e''commerce', s.bucket, s.object_key, s.version, s.record, s.byte_offset, s.reason, s.detail, s."RAW",
    '0123456789abcdef', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_quarantine AS s
WHERE NOT EXISTS (SELECT 1 FROM "CDC_MERGE"."QUARANTINE" AS q WHERE q.id = s.id);

-- [record batch]
-- A batch without one usable record: no target is touched.
INSERT INTO "CDC_MERGE"."BATCHES" (
    batch_id, source, worker, merged_at, newest_change_at, objects, records, applied, superseded, stale, ignored, quarantined
)
VALUES (
    '0123456789abcdef', 'e''commerce', 'host:1', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), 3, 1200,
    0, 450, 0, 0, 4
);

-- [resolve]
-- For each staged key: what the warehouse knows of it, and for each target whether the change is accepted there.
-- A change is stale where its time is at or before the target's floor, where the target's own row is as new or
-- newer, or where a sibling's row or the tombstone is newer. (An equal position in a sibling does not stop it, so
-- that a target added later can be filled by replay.) Siblings are also the tables of targets that the
-- configuration no longer has.
INSERT INTO _cdc_resolved
SELECT
    -- Of the rows only what is asked for afterwards: their positions are as long as all the rest.
    known.n, known.partition_key, known.sort_key, known.position, known.changed_at, known.removed, known.could, known.tombstone
    , known.takes_0
    , coalesce(known.own_0 = known.position, FALSE) AS is_same_0
    , known.own_0 IS NOT NULL AS is_there_0
    , (
        -- Read here, under the lock: a reconcile may have raised it while this batch was decoded.
        coalesce(
            known.changed_at > (
                SELECT f.floor_at FROM "CDC_MERGE"."TARGETS" AS f WHERE f.source = 'e''commerce' AND f.target = 'customers'
            ), TRUE
        )
        AND coalesce(known.own_0 < known.position, TRUE)
        AND coalesce(known.tombstone <= known.position, TRUE)
        AND coalesce(known.own_1 <= known.position, TRUE)
        AND coalesce(known.own_2 <= known.position, TRUE)
    ) AS accepted_0
    , known.takes_1
    , coalesce(known.own_1 = known.position, FALSE) AS is_same_1
    , known.own_1 IS NOT NULL AS is_there_1
    , (
        -- Read here, under the lock: a reconcile may have raised it while this batch was decoded.
        coalesce(
            known.changed_at > (
                SELECT f.floor_at FROM "CDC_MERGE"."TARGETS" AS f WHERE f.source = 'e''commerce' AND f.target = 'or"ders'''
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
        , t0.own AS own_0
        , t1.own AS own_1
        , t2.own AS own_2
    FROM _cdc_keys AS s
    LEFT JOIN "CDC_MERGE"."TOMBSTONES" AS ts
        ON ts.source = 'e''commerce'
        AND ts.partition_key = s.partition_key
        AND ts.sort_key = s.sort_key
    LEFT JOIN (
        -- No primary key keeps a row from being there twice: one row a key comes out of this, whatever was done by hand.
        SELECT s.n, max(t._cdc_position) AS own
        FROM _cdc_keys AS s
        JOIN "ANALYTICS"."CUSTOMERS" AS t
            ON t."PK" = s.partition_key
            AND t."SK" = TO_BINARY(s.sort_key, 'BASE64')
        GROUP BY s.n
    ) AS t0 ON t0.n = s.n
    LEFT JOIN (
        -- No primary key keeps a row from being there twice: one row a key comes out of this, whatever was done by hand.
        SELECT s.n, max(t._cdc_position) AS own
        FROM _cdc_keys AS s
        JOIN "ANALYTICS"."OR""DERS'" AS t
            ON t."PK" = s.partition_key
            AND t."SK" = TO_BINARY(s.sort_key, 'BASE64')
        GROUP BY s.n
    ) AS t1 ON t1.n = s.n
    LEFT JOIN (
        -- No primary key keeps a row from being there twice: one row a key comes out of this, whatever was done by hand.
        SELECT s.n, max(t._cdc_position) AS own
        FROM _cdc_keys AS s
        JOIN "ANALYTICS"."LEADS" AS t
            ON t."PK" = s.partition_key
            AND t."SK" = TO_BINARY(s.sort_key, 'BASE64')
        GROUP BY s.n
    ) AS t2 ON t2.n = s.n
) AS known;

-- [delete from customers]
-- The rows of accepted changes go, replaced or not: all of a key, should one be there twice.
DELETE FROM "ANALYTICS"."CUSTOMERS"
USING _cdc_resolved AS r
WHERE r.is_there_0
    AND r.accepted_0
    AND "CUSTOMERS"."PK" = r.partition_key
    AND "CUSTOMERS"."SK" = TO_BINARY(r.sort_key, 'BASE64');

-- [insert into customers]
-- The images of accepted changes become rows.
INSERT INTO "ANALYTICS"."CUSTOMERS" (
    "PK",
    "SK",
    "USERNAME",
    "SPENT",
    "ADDRESSES",
    "CITY",
    _cdc_position, _cdc_changed_at, _cdc_merged_at, _cdc_rescued
)
SELECT
    r.partition_key,
    TO_BINARY(r.sort_key, 'BASE64'),
    CAST(s.c0 AS VARCHAR),
    CAST(s.c1 AS NUMERIC(12, 2)),
    CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END,
    CAST(s.c3 AS VARCHAR),
    r.position, r.changed_at, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), s.rescued
FROM _cdc_rows_0 AS s
JOIN _cdc_resolved AS r ON r.n = s.n
WHERE r.accepted_0;

-- [delete from or"ders']
-- The rows of accepted changes go, replaced or not: all of a key, should one be there twice.
DELETE FROM "ANALYTICS"."OR""DERS'"
USING _cdc_resolved AS r
WHERE r.is_there_1
    AND r.accepted_1
    AND "OR""DERS'"."PK" = r.partition_key
    AND "OR""DERS'"."SK" = TO_BINARY(r.sort_key, 'BASE64');

-- [insert into or"ders']
-- The images of accepted changes become rows.
INSERT INTO "ANALYTICS"."OR""DERS'" (
    "PK",
    "SK",
    "SELECT",
    "CREATED_AT",
    "PAID",
    "TOKEN",
    _cdc_position, _cdc_changed_at, _cdc_merged_at, _cdc_rescued
)
SELECT
    r.partition_key,
    TO_BINARY(r.sort_key, 'BASE64'),
    CAST(s.c0 AS NUMERIC(38, 0)),
    CAST(s.c1 AS TIMESTAMP_TZ),
    CAST(s.c2 AS BOOLEAN),
    CAST(s.c3 AS BINARY),
    r.position, r.changed_at, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), s.rescued
FROM _cdc_rows_1 AS s
JOIN _cdc_resolved AS r ON r.n = s.n
WHERE r.accepted_1;

-- [delete tombstones]
-- What was accepted is newer than the key's tombstone, so that one has done its work.
DELETE FROM "CDC_MERGE"."TOMBSTONES"
USING _cdc_resolved AS r
WHERE "TOMBSTONES".source = 'e''commerce'
    AND "TOMBSTONES".partition_key = r.partition_key
    AND "TOMBSTONES".sort_key = r.sort_key
    AND r.tombstone IS NOT NULL
    AND (r.accepted_0 OR r.accepted_1);

-- [insert tombstones]
-- Everything accepted leaves a trace: where no row bears the change's position, a tombstone does. Only a key that
-- by itself shows that no target could ever take the item needs none; but where a `where` was another once, and left a
-- row or a tombstone, what takes its place must be known when it is so again.
INSERT INTO "CDC_MERGE"."TOMBSTONES" (source, partition_key, sort_key, position, changed_at)
SELECT 'e''commerce', r.partition_key, r.sort_key, r.position, r.changed_at
FROM _cdc_resolved AS r
WHERE (r.could OR r.tombstone IS NOT NULL OR r.is_there_0 OR r.is_there_1)
    AND (r.accepted_0 OR r.accepted_1)
    AND NOT (r.takes_0 AND (r.accepted_0 OR r.is_same_0))
    AND NOT (r.takes_1 AND (r.accepted_1 OR r.is_same_1));

-- [record batch]
-- The books of the batch: each newest change by the best that became of it; the rest was counted before.
INSERT INTO "CDC_MERGE"."BATCHES" (
    batch_id, source, worker, merged_at, newest_change_at, objects, records, applied, superseded, stale, ignored, quarantined
)
SELECT
    '0123456789abcdef', 'e''commerce', 'host:1', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), 3, 1200,
    count_if(outcome = 'applied'),
    450,
    count_if(outcome = 'stale'),
    count_if(outcome = 'ignored'),
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
INSERT INTO "CDC_MERGE"."BATCH_TARGETS" (batch_id, target, inserted, updated, deleted)
SELECT
    '0123456789abcdef', 'customers',
    count_if(r.takes_0 AND NOT r.is_there_0),
    count_if(r.takes_0 AND r.is_there_0),
    count_if(NOT r.takes_0 AND r.is_there_0)
FROM _cdc_resolved AS r
WHERE r.accepted_0;

-- [record or"ders']
-- What the batch did to one target.
INSERT INTO "CDC_MERGE"."BATCH_TARGETS" (batch_id, target, inserted, updated, deleted)
SELECT
    '0123456789abcdef', 'or"ders''',
    count_if(r.takes_1 AND NOT r.is_there_1),
    count_if(r.takes_1 AND r.is_there_1),
    count_if(NOT r.takes_1 AND r.is_there_1)
FROM _cdc_resolved AS r
WHERE r.accepted_1;

-- [add unmatched]
-- Items that no target takes, of entities of which there were some before.
UPDATE "CDC_MERGE"."UNMATCHED"
SET items = "UNMATCHED".items + s.items, last_seen_at = CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_unmatched AS s
WHERE "UNMATCHED".source = 'e''commerce' AND "UNMATCHED".entity = s.entity;

-- [insert unmatched]
-- Those of entities that are new.
INSERT INTO "CDC_MERGE"."UNMATCHED" (source, entity, items, last_seen_at)
SELECT 'e''commerce', s.entity, s.items, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_unmatched AS s
WHERE NOT EXISTS (SELECT 1 FROM "CDC_MERGE"."UNMATCHED" AS u WHERE u.source = 'e''commerce' AND u.entity = s.entity);

-- [add misfits]
-- Rows with values that their column did not take, where there were some before. A sample that was erased is replaced.
UPDATE "CDC_MERGE"."MISFITS"
SET
    "ROWS" = "MISFITS"."ROWS" + s."ROWS",
    first_value = CASE WHEN "MISFITS".first_key IS NULL THEN s.first_value ELSE "MISFITS".first_value END,
    first_key = coalesce("MISFITS".first_key, s.first_key),
    last_seen_at = CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_misfits AS s
WHERE "MISFITS".source = 'e''commerce'
    AND "MISFITS".target = s.target
    AND "MISFITS".column_name = s.column_name;

-- [insert misfits]
-- The first of a column, with a sample.
INSERT INTO "CDC_MERGE"."MISFITS" (
    source, target, column_name, attribute, "ROWS", first_key, first_value, first_seen_at, last_seen_at
)
SELECT
    'e''commerce', s.target, s.column_name, s.attribute, s."ROWS", s.first_key, s.first_value, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_misfits AS s
WHERE NOT EXISTS (
    SELECT 1 FROM "CDC_MERGE"."MISFITS" AS m
    WHERE m.source = 'e''commerce' AND m.target = s.target AND m.column_name = s.column_name
);

-- [forget misfits]
-- The tables are made anew: what did not fit the old ones says nothing of them, and may be masked now.
DELETE FROM "CDC_MERGE"."MISFITS"
WHERE source = 'e''commerce'
    AND target IN ('customers', 'or"ders''');

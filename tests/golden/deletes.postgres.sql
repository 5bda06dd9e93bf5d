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
    _cdc_deleted_at timestamp with time zone,
    _cdc_rescued json
    , PRIMARY KEY ("pk", "sk")
);

-- [add customers._cdc_deleted_at]
-- The target keeps the rows of deleted items from now on.
ALTER TABLE "analytics"."customers" ADD COLUMN _cdc_deleted_at timestamp with time zone;

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
    known.*
    , known.own_0 IS NOT NULL AS is_there_0
    -- Whatever happened since, the newest image that the target takes is its row: it may be that of a deleted item.
    , (
        known.n_0 IS NOT NULL
        AND known.open_0
        AND coalesce(known.own_0 < known.position_0, TRUE)
        -- But what was known of a forgotten item must not come back at all, whatever has become of its tombstone.
        AND coalesce(known.forgotten < known.position_0, TRUE)
    ) AS accepted_0
    -- The row stays, but its item is gone.
    , coalesce(
        NOT (
            known.n_0 IS NOT NULL
            AND known.open_0
            AND known.own_0 < known.position_0
        )
        AND known.can_mark_0
        AND known.own_0 < known.position
        AND known.position > coalesce(known.position_0, '')
        AND (
            known.was_deleted_at_0 IS NULL
            OR known.was_deleted_at_0 <> known.deleted_at_0
        ), FALSE
    ) AS marks_0
    , known.own_1 IS NOT NULL AS is_there_1
    -- Only what counts for this target can make a change stale.
    , (
        known.n_1 IS NOT NULL
        AND known.open_1
        AND coalesce(known.own_1 < known.position_1, TRUE)
        AND coalesce(known.tombstone_upsert <= known.position_1, TRUE)
        AND coalesce(known.own_0 <= known.position_1, TRUE)
        AND coalesce(known.own_2 <= known.position_1, TRUE)
        AND coalesce(known.own_3 <= known.position_1, TRUE)
    ) AS accepted_1
    , known.own_2 IS NOT NULL AS is_there_2
    -- Only what counts for this target can make a change stale.
    , (
        known.n_2 IS NOT NULL
        AND known.open_2
        AND coalesce(known.own_2 < known.position_2, TRUE)
        AND coalesce(known.tombstone_kept <= known.position_2, TRUE)
        AND coalesce(known.own_0 <= known.position_2, TRUE)
        AND coalesce(known.own_1 <= known.position_2, TRUE)
        AND coalesce(known.own_3 <= known.position_2, TRUE)
    ) AS accepted_2
    , known.own_3 IS NOT NULL AS is_there_3
    , (
        -- Read here, under the lock: a reconcile may have raised it while this batch was decoded.
        coalesce(
            known.changed_at > (
                SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'hard'
            ), TRUE
        )
        AND coalesce(known.own_3 < known.position, TRUE)
        AND coalesce(known.tombstone <= known.position, TRUE)
        AND coalesce(known.own_0 <= known.position, TRUE)
        AND coalesce(known.own_1 <= known.position, TRUE)
        AND coalesce(known.own_2 <= known.position, TRUE)
    ) AS accepted_3
FROM (
    SELECT
        found.*
        , CASE found.gone_0
            WHEN found.position THEN found.changed_at
            WHEN found.tombstone THEN found.tombstone_at
            WHEN found.own_1 THEN found.at_1
            WHEN found.own_2 THEN found.at_2
            WHEN found.own_3 THEN found.at_3
        END AS deleted_at_0
        , (found.is_open_0 OR found.is_open_1 OR found.is_open_2 OR found.is_open_3) AS is_open
    FROM (
    SELECT
        learned.*
        -- Read here, under the lock: a reconcile may have raised them while this batch was decoded.
        , coalesce(learned.changed_at > (
            SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'customers'
        ), TRUE) AS is_open_0
        , coalesce(learned.changed_at_0 > (
            SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'customers'
        ), TRUE) AS open_0
        , coalesce(learned.changed_at > (
            SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'customers'
        ), TRUE) AS can_mark_0
        -- The newest change that says the item is not there, or not in this table.
        , greatest(
            CASE WHEN learned.position > coalesce(learned.position_0, '') THEN learned.position END
            , learned.tombstone
            , learned.own_1
            , learned.own_2
            , learned.own_3
        ) AS gone_0
        , coalesce(learned.changed_at > (
            SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'or"ders'''
        ), TRUE) AS is_open_1
        , coalesce(learned.changed_at_1 > (
            SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'or"ders'''
        ), TRUE) AS open_1
        , coalesce(learned.changed_at > (
            SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'kept'
        ), TRUE) AS is_open_2
        , coalesce(learned.changed_at_2 > (
            SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'kept'
        ), TRUE) AS open_2
        , coalesce(learned.changed_at > (
            SELECT f.floor_at FROM "cdc_merge"."targets" AS f WHERE f.source = 'e''commerce' AND f.target = 'hard'
        ), TRUE) AS is_open_3
    FROM (
    SELECT
        s.*
        , ts.position AS tombstone
        , ts.changed_at AS tombstone_at
        , CASE WHEN ts.position IS NOT NULL THEN coalesce(ts.upsert_position, ts.position) END AS tombstone_upsert
        , CASE WHEN ts.position IS NOT NULL THEN coalesce(ts.kept_position, ts.position) END AS tombstone_kept
        , CASE WHEN ts.kept_position IS NULL THEN ts.changed_at ELSE ts.kept_at END AS tombstone_kept_at
        , t0._cdc_changed_at AS at_0
        , t1._cdc_changed_at AS at_1
        , t2._cdc_changed_at AS at_2
        , t3._cdc_changed_at AS at_3
        , fe.position AS forgotten
        , t0._cdc_deleted_at AS was_deleted_at_0
        , t0._cdc_position AS own_0
        , t0.ctid AS row_0
        , t1._cdc_position AS own_1
        , t1.ctid AS row_1
        , t2._cdc_position AS own_2
        , t2.ctid AS row_2
        , t3._cdc_position AS own_3
        , t3.ctid AS row_3
    -- They lie in this order as a rule, so it costs little, and the keys' index can be walked along instead of hashed.
    FROM (SELECT * FROM _cdc_keys ORDER BY partition_key, sort_key) AS s
    LEFT JOIN "cdc_merge"."tombstones" AS ts
        ON ts.source = 'e''commerce'
        AND ts.partition_key = s.partition_key
        AND ts.sort_key = s.sort_key
    LEFT JOIN "cdc_merge"."history_events" AS fe
        ON fe.source = 'e''commerce'
        AND fe.target = '/forgotten'
        AND fe.partition_key = s.partition_key
        AND fe.sort_key = s.sort_key
    LEFT JOIN "analytics"."customers" AS t0
        ON t0."pk" = s.partition_key
        AND t0."sk" = CAST(s.sort_key AS numeric)
    LEFT JOIN "analytics"."or""ders'" AS t1
        ON t1."pk" = s.partition_key
        AND t1."sk" = CAST(s.sort_key AS numeric)
    LEFT JOIN "analytics"."kept" AS t2
        ON t2."pk" = s.partition_key
        AND t2."sk" = CAST(s.sort_key AS numeric)
    LEFT JOIN "analytics"."hard" AS t3
        ON t3."pk" = s.partition_key
        AND t3."sk" = CAST(s.sort_key AS numeric)
    ) AS learned
    ) AS found
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
    _cdc_position, _cdc_changed_at, _cdc_merged_at, _cdc_deleted_at, _cdc_rescued
)
SELECT
    r.partition_key,
    CAST(r.sort_key AS numeric),
    CAST(s.c0 AS text),
    CAST(s.c1 AS NUMERIC(12, 2)),
    CAST(s.c2 AS jsonb),
    CAST(s.c3 AS text),
    r.position_0, r.changed_at_0, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), 
    -- A late image of an item that is gone by now.
    CASE WHEN r.gone_0 > r.position_0 THEN coalesce(r.deleted_at_0, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)) END,
CAST(s.rescued AS json)
FROM _cdc_rows_0 AS s
JOIN _cdc_resolved AS r ON r.n_0 = s.n
WHERE r.accepted_0
-- In the order of the key's index, which then is filled page by page instead of here and there.
ORDER BY r.partition_key, r.sort_key;

-- [mark rows of customers]
-- Items that are gone keep their row: only the time of it is written.
UPDATE "analytics"."customers" AS t
SET _cdc_deleted_at = coalesce(r.deleted_at_0, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)), _cdc_merged_at = CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_resolved AS r
WHERE r.marks_0
    AND t."pk" = r.partition_key
    AND t."sk" = CAST(r.sort_key AS numeric);

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
    CAST(r.sort_key AS numeric),
    CAST(s.c0 AS bigint),
    CAST(s.c1 AS timestamp with time zone),
    CAST(s.c2 AS boolean),
    CAST(s.c3 AS bytea),
    r.position_1, r.changed_at_1, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST(s.rescued AS json)
FROM _cdc_rows_1 AS s
JOIN _cdc_resolved AS r ON r.n_1 = s.n
WHERE r.accepted_1
-- In the order of the key's index, which then is filled page by page instead of here and there.
ORDER BY r.partition_key, r.sort_key;

-- [count rows of kept]
SELECT count(*) FROM _cdc_resolved AS r WHERE r.accepted_2 AND r.row_2 IS NOT NULL;

-- [delete from kept]
-- The rows of accepted changes go, replaced or not. They are found by their address within this transaction.
DELETE FROM "analytics"."kept" AS t
WHERE t.ctid = ANY (ARRAY(
    SELECT r.row_2
    FROM _cdc_resolved AS r
    WHERE r.accepted_2
        AND r.row_2 IS NOT NULL
));

-- [insert into kept]
-- The images of accepted changes become rows.
INSERT INTO "analytics"."kept" (
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
    CAST(r.sort_key AS numeric),
    CAST(s.c0 AS bigint),
    CAST(s.c1 AS timestamp with time zone),
    CAST(s.c2 AS boolean),
    CAST(s.c3 AS bytea),
    r.position_2, r.changed_at_2, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST(s.rescued AS json)
FROM _cdc_rows_2 AS s
JOIN _cdc_resolved AS r ON r.n_2 = s.n
WHERE r.accepted_2
-- In the order of the key's index, which then is filled page by page instead of here and there.
ORDER BY r.partition_key, r.sort_key;

-- [count rows of hard]
SELECT count(*) FROM _cdc_resolved AS r WHERE r.accepted_3 AND r.row_3 IS NOT NULL;

-- [delete from hard]
-- The rows of accepted changes go, replaced or not. They are found by their address within this transaction.
DELETE FROM "analytics"."hard" AS t
WHERE t.ctid = ANY (ARRAY(
    SELECT r.row_3
    FROM _cdc_resolved AS r
    WHERE r.accepted_3
        AND r.row_3 IS NOT NULL
));

-- [insert into hard]
-- The images of accepted changes become rows.
INSERT INTO "analytics"."hard" (
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
    CAST(r.sort_key AS numeric),
    CAST(s.c0 AS text),
    CAST(s.c1 AS NUMERIC(12, 2)),
    CAST(s.c2 AS jsonb),
    CAST(s.c3 AS text),
    r.position, r.changed_at, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST(s.rescued AS json)
FROM _cdc_rows_3 AS s
JOIN _cdc_resolved AS r ON r.n = s.n
WHERE r.accepted_3
-- In the order of the key's index, which then is filled page by page instead of here and there.
ORDER BY r.partition_key, r.sort_key;

-- [delete tombstones]
-- The tombstones that a row outranks now, or that are written anew with what the batch adds to them.
DELETE FROM "cdc_merge"."tombstones" AS ts
USING _cdc_resolved AS r
WHERE ts.source = 'e''commerce'
    AND ts.partition_key = r.partition_key
    AND ts.sort_key = r.sort_key
    AND r.tombstone IS NOT NULL
    AND r.is_open;

-- [insert tombstones]
-- Everything accepted leaves a trace: where no row bears the newest position known of a key, a tombstone does. Some
-- targets do not follow every delete, so it also says what counts for those: the rows that go were upserts, too.
INSERT INTO "cdc_merge"."tombstones" (
    source, partition_key, sort_key, position, changed_at, upsert_position, kept_position, kept_at
)
SELECT
    'e''commerce', k.partition_key, k.sort_key, k.newest,
    CASE k.newest WHEN k.position THEN k.changed_at ELSE k.tombstone_at END,
    k.newest_upsert,
    k.newest_kept,
    CASE k.newest_kept
        WHEN k.kept_position THEN k.kept_at
        WHEN k.tombstone_kept THEN k.tombstone_kept_at
        WHEN k.own_0 THEN k.at_0
        WHEN k.own_1 THEN k.at_1
        WHEN k.own_2 THEN k.at_2
        WHEN k.own_3 THEN k.at_3
    END
FROM (
    SELECT
        r.*,
        greatest(r.tombstone, r.position) AS newest,
        greatest(r.tombstone_upsert, r.upsert_position, r.own_0, r.own_1, r.own_2, r.own_3, '') AS newest_upsert,
        greatest(r.tombstone_kept, r.kept_position, r.own_0, r.own_1, r.own_2, r.own_3, '') AS newest_kept
    FROM _cdc_resolved AS r
    -- A row or a tombstone of before its `where` was narrowed has a successor as well.
    WHERE (r.could OR r.tombstone IS NOT NULL OR r.is_there_0 OR r.is_there_1 OR r.is_there_2 OR r.is_there_3) AND r.is_open
) AS k
WHERE k.newest > greatest(
    CASE
        WHEN NOT k.accepted_0 THEN k.own_0
        WHEN k.takes_0 THEN k.position_0
    END,
    CASE
        WHEN NOT k.accepted_1 THEN k.own_1
        WHEN k.takes_1 THEN k.position_1
    END,
    CASE
        WHEN NOT k.accepted_2 THEN k.own_2
        WHEN k.takes_2 THEN k.position_2
    END,
    CASE
        WHEN NOT k.accepted_3 THEN k.own_3
        WHEN k.takes_3 THEN k.position
    END,
    ''
);

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
                WHEN r.marks_0 THEN 'applied'
                WHEN r.accepted_1 AND r.position_1 = r.position AND r.is_there_1 THEN 'applied'
                WHEN r.accepted_2 AND r.position_2 = r.position AND r.is_there_2 THEN 'applied'
                WHEN r.accepted_3 AND r.position = r.position AND r.is_there_3 THEN 'applied'
                WHEN r.own_0 >= r.position THEN 'stale'
                WHEN r.own_1 >= r.position THEN 'stale'
                WHEN r.own_2 >= r.position THEN 'stale'
                WHEN r.own_3 >= r.position THEN 'stale'
                ELSE 'ignored'
            END
            -- It is the newest that is known of the key, so its tombstone is new.
            WHEN r.removed AND r.is_open AND coalesce(r.tombstone < r.position, TRUE)
                AND coalesce(r.own_0 < r.position, TRUE)
                AND coalesce(r.own_1 < r.position, TRUE)
                AND coalesce(r.own_2 < r.position, TRUE)
                AND coalesce(r.own_3 < r.position, TRUE)
                THEN 'applied'
            WHEN r.removed THEN 'stale'
            WHEN r.accepted_0 AND r.position_0 = r.position
                AND (r.takes_0 OR r.is_there_0) THEN 'applied'
            WHEN r.marks_0 THEN 'applied'
            WHEN r.accepted_1 AND r.position_1 = r.position
                AND (r.takes_1 OR r.is_there_1) THEN 'applied'
            WHEN r.accepted_2 AND r.position_2 = r.position
                AND (r.takes_2 OR r.is_there_2) THEN 'applied'
            WHEN r.accepted_3 AND r.position = r.position
                AND (r.takes_3 OR r.is_there_3) THEN 'applied'
            WHEN (r.takes_0 AND r.position_0 = r.position) OR (r.takes_1 AND r.position_1 = r.position) OR (r.takes_2 AND r.position_2 = r.position) OR (r.takes_3 AND r.position = r.position) THEN 'stale'
            ELSE 'ignored'
        END AS outcome
    FROM _cdc_resolved AS r
) AS judged;

-- [record customers]
-- What the batch did to one target.
INSERT INTO "cdc_merge"."batch_targets" (batch_id, target, inserted, updated, deleted)
SELECT
    '0123456789abcdef', 'customers',
    count(*) FILTER (WHERE r.accepted_0 AND r.takes_0 AND NOT r.is_there_0),
    count(*) FILTER (WHERE r.accepted_0 AND r.takes_0 AND r.is_there_0),
    count(*) FILTER (WHERE r.marks_0 AND r.was_deleted_at_0 IS NULL)
FROM _cdc_resolved AS r
WHERE r.accepted_0 OR r.marks_0;

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

-- [record kept]
-- What the batch did to one target.
INSERT INTO "cdc_merge"."batch_targets" (batch_id, target, inserted, updated, deleted)
SELECT
    '0123456789abcdef', 'kept',
    count(*) FILTER (WHERE r.takes_2 AND NOT r.is_there_2),
    count(*) FILTER (WHERE r.takes_2 AND r.is_there_2),
    count(*) FILTER (WHERE NOT r.takes_2 AND r.is_there_2)
FROM _cdc_resolved AS r
WHERE r.accepted_2;

-- [record hard]
-- What the batch did to one target.
INSERT INTO "cdc_merge"."batch_targets" (batch_id, target, inserted, updated, deleted)
SELECT
    '0123456789abcdef', 'hard',
    count(*) FILTER (WHERE r.takes_3 AND NOT r.is_there_3),
    count(*) FILTER (WHERE r.takes_3 AND r.is_there_3),
    count(*) FILTER (WHERE NOT r.takes_3 AND r.is_there_3)
FROM _cdc_resolved AS r
WHERE r.accepted_3;

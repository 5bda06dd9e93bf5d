-- [create or"ders'_history]
-- A target's history: a row for each version of an item, and one where it left the target.
CREATE TABLE IF NOT EXISTS "ANALYTICS"."OR""DERS'_HISTORY" (
    "PK" VARCHAR NOT NULL,
    "SK" NUMERIC(38, 18) NOT NULL,
    "SELECT" NUMERIC(38, 0),
    "CREATED_AT" TIMESTAMP_TZ,
    "PAID" BOOLEAN,
    "TOKEN" BINARY,
    _cdc_position VARCHAR NOT NULL,
    _cdc_operation VARCHAR NOT NULL,
    _cdc_valid_from TIMESTAMP_TZ,
    _cdc_valid_to TIMESTAMP_TZ,
    _cdc_merged_at TIMESTAMP_TZ NOT NULL,
    _cdc_rescued VARCHAR
);

-- [foresee _cdc_timeline_0]
-- All that is known of the touched keys, in order, and what each event is in this target's history: a version, the end
-- of one (the first event after it that is none), or nothing. A pure function of the events and versions that are
-- there, so the order in which they came does not matter. What was repaired as of a time comes after the last change of
-- that time or an earlier one, in the order of positions; `reach` says so, and never falls along that order. (NULL is
-- last on every engine, said or not.)
CREATE OR REPLACE TEMPORARY TABLE _cdc_timeline_0 AS
SELECT
    placed.partition_key, placed.sort_key, placed.position, placed.began_at AS changed_at, placed.operation,
    lead(placed.began_at) OVER (
        PARTITION BY placed.partition_key, placed.sort_key, placed.operation IS NULL ORDER BY placed.place
    ) AS valid_to
FROM (
    SELECT
        known.*,
        -- A change without a time was made no earlier than those before it: that ends a version at a time that is known.
        coalesce(known.changed_at, max(known.changed_at) OVER (
            PARTITION BY known.partition_key, known.sort_key
            ORDER BY known.place ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        )) AS began_at,
        CASE
            WHEN known.is_version THEN 'version'
            WHEN lag(known.is_version) OVER (PARTITION BY known.partition_key, known.sort_key ORDER BY known.place)
                THEN 'delete'
        END AS operation
    FROM (
        SELECT
            s.partition_key, s.sort_key, s.position, s.changed_at,
            t._cdc_position IS NOT NULL AS is_version,
            row_number() OVER (
                PARTITION BY s.partition_key, s.sort_key ORDER BY s.reach, s.target, s.position
            ) AS place
        FROM (
            SELECT
                e.partition_key, e.sort_key, e.position, e.changed_at, e.target,
                min(e.changed_at) OVER (
                    PARTITION BY e.partition_key, e.sort_key, e.target, CASE WHEN e.target <> '' THEN e.changed_at END
                    ORDER BY e.position ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
                ) AS reach
            FROM "CDC_MERGE"."HISTORY_EVENTS" AS e
            JOIN (SELECT DISTINCT s.partition_key, s.sort_key FROM _cdc_events AS s) AS k ON k.partition_key = e.partition_key AND k.sort_key = e.sort_key
            WHERE e.source = 'e''commerce'
                AND e.target IN ('', 'or"ders''')
        ) AS s
        LEFT JOIN "ANALYTICS"."OR""DERS'_HISTORY" AS t
            ON t."PK" = s.partition_key AND t."SK" = CAST(s.sort_key AS NUMERIC(38, 18)) AND t._cdc_position = s.position
            AND t._cdc_operation <> 'delete'
            AND (s.position <> '' OR t._cdc_valid_from = s.changed_at)
    ) AS known
) AS placed
LIMIT 0;

-- [leave out forgotten]
-- A forgotten item stays forgotten: what was known when it was erased does not enter a history again.
DELETE FROM _cdc_events
USING "CDC_MERGE"."HISTORY_EVENTS" AS e
WHERE e.source = 'e''commerce'
    AND e.target = '/forgotten'
    AND e.partition_key = _cdc_events.partition_key
    AND e.sort_key = _cdc_events.sort_key
    AND _cdc_events.position <= e.position;

-- [record events]
-- Every distinct change of the batch, once and for all, whatever the targets made of it.
INSERT INTO "CDC_MERGE"."HISTORY_EVENTS" (source, target, partition_key, sort_key, position, changed_at)
SELECT 'e''commerce', '', s.partition_key, s.sort_key, s.position, s.changed_at
FROM _cdc_events AS s
WHERE NOT EXISTS (
    SELECT 1
    FROM "CDC_MERGE"."HISTORY_EVENTS" AS e
    WHERE e.source = 'e''commerce'
        AND e.target = ''
        AND e.partition_key = s.partition_key
        AND e.sort_key = s.sort_key
        AND e.position = s.position
);

-- [insert versions of or"ders']
-- The images that the target takes are versions, each once.
INSERT INTO "ANALYTICS"."OR""DERS'_HISTORY" (
    "PK",
    "SK",
    "SELECT",
    "CREATED_AT",
    "PAID",
    "TOKEN",
    _cdc_position, _cdc_operation, _cdc_valid_from, _cdc_merged_at, _cdc_rescued
)
SELECT
    r.partition_key,
    CAST(r.sort_key AS NUMERIC(38, 18)),
    CAST(s.c0 AS NUMERIC(38, 0)),
    CAST(s.c1 AS TIMESTAMP_TZ),
    CAST(s.c2 AS BOOLEAN),
    CAST(s.c3 AS BINARY),
    r.position, 'upsert', r.changed_at, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), s.rescued
FROM _cdc_history_0 AS s
JOIN _cdc_events AS r ON r.n = s.n
WHERE NOT EXISTS (
    SELECT 1
    FROM "ANALYTICS"."OR""DERS'_HISTORY" AS t
    WHERE t."PK" = r.partition_key AND t."SK" = CAST(r.sort_key AS NUMERIC(38, 18)) AND t._cdc_position = r.position
        AND t._cdc_operation = 'upsert'
);

-- [order history of or"ders']
-- All that is known of the touched keys, in order, and what each event is in this target's history: a version, the end
-- of one (the first event after it that is none), or nothing. A pure function of the events and versions that are
-- there, so the order in which they came does not matter. What was repaired as of a time comes after the last change of
-- that time or an earlier one, in the order of positions; `reach` says so, and never falls along that order. (NULL is
-- last on every engine, said or not.)
INSERT INTO _cdc_timeline_0
SELECT
    placed.partition_key, placed.sort_key, placed.position, placed.began_at AS changed_at, placed.operation,
    lead(placed.began_at) OVER (
        PARTITION BY placed.partition_key, placed.sort_key, placed.operation IS NULL ORDER BY placed.place
    ) AS valid_to
FROM (
    SELECT
        known.*,
        -- A change without a time was made no earlier than those before it: that ends a version at a time that is known.
        coalesce(known.changed_at, max(known.changed_at) OVER (
            PARTITION BY known.partition_key, known.sort_key
            ORDER BY known.place ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        )) AS began_at,
        CASE
            WHEN known.is_version THEN 'version'
            WHEN lag(known.is_version) OVER (PARTITION BY known.partition_key, known.sort_key ORDER BY known.place)
                THEN 'delete'
        END AS operation
    FROM (
        SELECT
            s.partition_key, s.sort_key, s.position, s.changed_at,
            t._cdc_position IS NOT NULL AS is_version,
            row_number() OVER (
                PARTITION BY s.partition_key, s.sort_key ORDER BY s.reach, s.target, s.position
            ) AS place
        FROM (
            SELECT
                e.partition_key, e.sort_key, e.position, e.changed_at, e.target,
                min(e.changed_at) OVER (
                    PARTITION BY e.partition_key, e.sort_key, e.target, CASE WHEN e.target <> '' THEN e.changed_at END
                    ORDER BY e.position ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
                ) AS reach
            FROM "CDC_MERGE"."HISTORY_EVENTS" AS e
            JOIN (SELECT DISTINCT s.partition_key, s.sort_key FROM _cdc_events AS s) AS k ON k.partition_key = e.partition_key AND k.sort_key = e.sort_key
            WHERE e.source = 'e''commerce'
                AND e.target IN ('', 'or"ders''')
        ) AS s
        LEFT JOIN "ANALYTICS"."OR""DERS'_HISTORY" AS t
            ON t."PK" = s.partition_key AND t."SK" = CAST(s.sort_key AS NUMERIC(38, 18)) AND t._cdc_position = s.position
            AND t._cdc_operation <> 'delete'
            AND (s.position <> '' OR t._cdc_valid_from = s.changed_at)
    ) AS known
) AS placed;

-- [close versions of or"ders']
-- A row is valid until the next one of its item begins. (Its own beginning moves only if its change has no time.)
UPDATE "ANALYTICS"."OR""DERS'_HISTORY"
SET _cdc_valid_from = s.changed_at, _cdc_valid_to = s.valid_to
FROM _cdc_timeline_0 AS s
WHERE "OR""DERS'_HISTORY"."PK" = s.partition_key AND "OR""DERS'_HISTORY"."SK" = CAST(s.sort_key AS NUMERIC(38, 18)) AND "OR""DERS'_HISTORY"._cdc_position = s.position
    AND (s.position <> '' OR "OR""DERS'_HISTORY"._cdc_valid_from = s.changed_at)
    AND s.operation = CASE WHEN "OR""DERS'_HISTORY"._cdc_operation = 'delete' THEN 'delete' ELSE 'version' END
    AND (
        CASE WHEN s.valid_to IS NULL THEN "OR""DERS'_HISTORY"._cdc_valid_to IS NOT NULL ELSE coalesce("OR""DERS'_HISTORY"._cdc_valid_to <> s.valid_to, TRUE) END
        OR coalesce("OR""DERS'_HISTORY"._cdc_valid_from <> s.changed_at, s.changed_at IS NOT NULL)
    );

-- [reopen versions of or"ders']
-- What is no end any more: a late change has come in between.
DELETE FROM "ANALYTICS"."OR""DERS'_HISTORY"
USING _cdc_timeline_0 AS s
WHERE "OR""DERS'_HISTORY"."PK" = s.partition_key AND "OR""DERS'_HISTORY"."SK" = CAST(s.sort_key AS NUMERIC(38, 18)) AND "OR""DERS'_HISTORY"._cdc_position = s.position
    AND (s.position <> '' OR "OR""DERS'_HISTORY"._cdc_valid_from = s.changed_at)
    AND "OR""DERS'_HISTORY"._cdc_operation = 'delete'
    AND coalesce(s.operation, '') <> 'delete';

-- [insert ends of or"ders']
-- Where an item left the target.
INSERT INTO "ANALYTICS"."OR""DERS'_HISTORY" (
    "PK",
    "SK",
    _cdc_position, _cdc_operation, _cdc_valid_from, _cdc_valid_to, _cdc_merged_at
)
SELECT
    s.partition_key,
    CAST(s.sort_key AS NUMERIC(38, 18)),
    s.position, 'delete', s.changed_at, s.valid_to, CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
FROM _cdc_timeline_0 AS s
WHERE s.operation = 'delete'
    AND NOT EXISTS (
        SELECT 1
        FROM "ANALYTICS"."OR""DERS'_HISTORY" AS t
        WHERE t."PK" = s.partition_key AND t."SK" = CAST(s.sort_key AS NUMERIC(38, 18)) AND t._cdc_position = s.position
            AND (s.position <> '' OR t._cdc_valid_from = s.changed_at)
            AND t._cdc_operation = 'delete'
    );

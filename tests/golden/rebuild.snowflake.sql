-- [foresee _cdc_newer]
-- Keys whose last known change, in any table of the source or as a tombstone, came after the time the export can
-- vouch for. The feed knows them better. A change without a time may be that new.
CREATE OR REPLACE TEMPORARY TABLE _cdc_newer AS
SELECT DISTINCT k0, k1
FROM (
    SELECT t."PK" AS k0, t."SK" AS k1
    FROM "ANALYTICS"."CUSTOMERS" AS t
    WHERE coalesce(t._cdc_changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
    UNION ALL
    SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1
    FROM "CDC_MERGE"."TOMBSTONES" AS s
    WHERE s.source = 'e''commerce' AND coalesce(s.changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
) AS changed
LIMIT 0;

-- [foresee _cdc_verdicts_0]
-- One target beside the export: every row that is not the same in both, by its key. The keys of both sides are joined
-- first, since a full join takes no columns of semi-structured data.
CREATE OR REPLACE TEMPORARY TABLE _cdc_verdicts_0 AS
WITH pairs AS (
    SELECT
        s.n,
        t._cdc_row,
        coalesce(t.k0, s.k0) AS k0,
        coalesce(t.k1, s.k1) AS k1,
        w.k0 IS NOT NULL AS is_newer
    FROM (
        SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1, r.n
        FROM _cdc_keys AS s
JOIN _cdc_rows_0 AS r ON r.n = s.n
    ) AS s
    FULL JOIN (
        SELECT t."PK" AS k0, t."SK" AS k1, 1 AS _cdc_row
        FROM "ANALYTICS"."CUSTOMERS" AS t
        GROUP BY t."PK", t."SK"
    ) AS t
        ON t.k0 = s.k0 AND t.k1 = s.k1
    LEFT JOIN _cdc_newer AS w
        ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
    WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
)
SELECT
    x.n AS n,
    x._cdc_row AS address,
    x.k0 AS k0,
    x.k1 AS k1,
    CASE
        WHEN x.is_newer THEN 'newer'
        WHEN x._cdc_row IS NULL THEN 'missing'
        WHEN x.n IS NULL THEN 'extra'
        ELSE 'different'
    END AS verdict,
    -- The names of the columns that differ, of a row that both sides have.
nullif(substring(''
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2))) THEN chr(10) || 'spent' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END) THEN chr(10) || 'addresses' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR)) THEN chr(10) || 'city' ELSE '' END
, 2), '') AS differing
FROM pairs AS x
LEFT JOIN "ANALYTICS"."CUSTOMERS" AS t
    ON t."PK" = x.k0 AND t."SK" = x.k1
LEFT JOIN _cdc_rows_0 AS s
    ON s.n = x.n
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
    OR NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2)))
    OR NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END)
    OR NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR))
LIMIT 0;

-- [foresee _cdc_causes_0]
-- What can be told of why: a row that is missing beside a tombstone lost the insert after a delete, one whose item
-- lies in a table that should not have it lost a move, one that nothing is known of never arrived. An extra row whose
-- item the export has for other tables moved away; one of an item it does not have lost its delete. An element that is
-- missing or extra beside others of its item lost the item's update. A row that differs in nothing but columns that were
-- configured since, and in what these take out of _cdc_rescued, had no value of them yet.
CREATE OR REPLACE TEMPORARY TABLE _cdc_causes_0 AS
SELECT
    v.verdict,
    v.k0,
    v.k1,
v.differing,
    CASE
        WHEN v.verdict = 'missing' AND d.k0 IS NOT NULL THEN 'insert_after_delete_lost'
        WHEN v.verdict = 'missing' THEN 'never_arrived'
        WHEN v.verdict = 'extra' AND e.takes THEN 'update_lost_or_altered'
        WHEN v.verdict = 'extra' AND e.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'extra' THEN 'delete_lost'
        WHEN v.verdict = 'different' THEN 'update_lost_or_altered'
        ELSE 'changed_since'
    END AS cause
FROM _cdc_verdicts_0 AS v
LEFT JOIN (SELECT DISTINCT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1 FROM "CDC_MERGE"."TOMBSTONES" AS s WHERE s.source = 'e''commerce') AS d
    ON v.verdict = 'missing' AND d.k0 = v.k0 AND d.k1 = v.k1
LEFT JOIN (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1, s.takes_0 AS takes FROM _cdc_keys AS s WHERE NOT s.removed
) AS e
    ON v.verdict = 'extra' AND e.k0 = v.k0 AND e.k1 = v.k1
LIMIT 0;

-- [copy privileges of customers]
-- For the privileges that people have on the old table; its columns are not asked for.
-- https://docs.snowflake.com/en/sql-reference/sql/create-table#create-table-like
CREATE OR REPLACE TABLE "ANALYTICS"."_CDC_NEW_21EB2153_0123456789AB" LIKE "ANALYTICS"."CUSTOMERS" COPY GRANTS;

-- [create customers anew]
-- A target's table: the item's key, its columns, and what cdc-merge keeps of each row.
CREATE OR REPLACE TABLE "ANALYTICS"."_CDC_NEW_21EB2153_0123456789AB" (
    "PK" VARCHAR NOT NULL,
    "SK" NUMERIC(38, 18) NOT NULL,
    "USERNAME" VARCHAR,
    "SPENT" NUMERIC(12, 2),
    "ADDRESSES" VARIANT,
    "CITY" VARCHAR,
    _cdc_position VARCHAR NOT NULL COMMENT 'cdc-merge rebuild 0123456789ab',
    _cdc_changed_at TIMESTAMP_TZ,
    _cdc_merged_at TIMESTAMP_TZ NOT NULL,
    _cdc_rescued VARCHAR
)
COPY GRANTS;

-- [look at floors]
-- The targets' floors as they are now, under the lock.
SELECT target, floor_at FROM "CDC_MERGE"."TARGETS" WHERE source = 'e''commerce';

-- [find newer]
-- Keys whose last known change, in any table of the source or as a tombstone, came after the time the export can
-- vouch for. The feed knows them better. A change without a time may be that new.
INSERT INTO _cdc_newer
SELECT DISTINCT k0, k1
FROM (
    SELECT t."PK" AS k0, t."SK" AS k1
    FROM "ANALYTICS"."CUSTOMERS" AS t
    WHERE coalesce(t._cdc_changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
    UNION ALL
    SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1
    FROM "CDC_MERGE"."TOMBSTONES" AS s
    WHERE s.source = 'e''commerce' AND coalesce(s.changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
) AS changed;

-- [compare customers]
-- One target beside the export: every row that is not the same in both, by its key. The keys of both sides are joined
-- first, since a full join takes no columns of semi-structured data.
INSERT INTO _cdc_verdicts_0
WITH pairs AS (
    SELECT
        s.n,
        t._cdc_row,
        coalesce(t.k0, s.k0) AS k0,
        coalesce(t.k1, s.k1) AS k1,
        w.k0 IS NOT NULL AS is_newer
    FROM (
        SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1, r.n
        FROM _cdc_keys AS s
JOIN _cdc_rows_0 AS r ON r.n = s.n
    ) AS s
    FULL JOIN (
        SELECT t."PK" AS k0, t."SK" AS k1, 1 AS _cdc_row
        FROM "ANALYTICS"."CUSTOMERS" AS t
        GROUP BY t."PK", t."SK"
    ) AS t
        ON t.k0 = s.k0 AND t.k1 = s.k1
    LEFT JOIN _cdc_newer AS w
        ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
    WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
)
SELECT
    x.n AS n,
    x._cdc_row AS address,
    x.k0 AS k0,
    x.k1 AS k1,
    CASE
        WHEN x.is_newer THEN 'newer'
        WHEN x._cdc_row IS NULL THEN 'missing'
        WHEN x.n IS NULL THEN 'extra'
        ELSE 'different'
    END AS verdict,
    -- The names of the columns that differ, of a row that both sides have.
nullif(substring(''
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2))) THEN chr(10) || 'spent' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END) THEN chr(10) || 'addresses' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR)) THEN chr(10) || 'city' ELSE '' END
, 2), '') AS differing
FROM pairs AS x
LEFT JOIN "ANALYTICS"."CUSTOMERS" AS t
    ON t."PK" = x.k0 AND t."SK" = x.k1
LEFT JOIN _cdc_rows_0 AS s
    ON s.n = x.n
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
    OR NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2)))
    OR NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END)
    OR NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR));

-- [count customers]
-- How many of each, with what is needed to see whether a row is there twice.
SELECT
    (SELECT count(*) FROM "ANALYTICS"."CUSTOMERS"),
    (SELECT count(*) FROM _cdc_keys AS s JOIN _cdc_rows_0 AS r ON r.n = s.n),
    count_if(v.verdict = 'missing'),
    count_if(v.verdict = 'extra'),
    count_if(v.verdict = 'different'),
    count_if(v.verdict = 'newer'),
    count(v.address),
    count(v.n),
    (SELECT count(*) FROM (SELECT DISTINCT v.n FROM _cdc_verdicts_0 AS v WHERE v.n IS NOT NULL) AS told)
FROM _cdc_verdicts_0 AS v;

-- [find causes in customers]
-- What can be told of why: a row that is missing beside a tombstone lost the insert after a delete, one whose item
-- lies in a table that should not have it lost a move, one that nothing is known of never arrived. An extra row whose
-- item the export has for other tables moved away; one of an item it does not have lost its delete. An element that is
-- missing or extra beside others of its item lost the item's update. A row that differs in nothing but columns that were
-- configured since, and in what these take out of _cdc_rescued, had no value of them yet.
INSERT INTO _cdc_causes_0
SELECT
    v.verdict,
    v.k0,
    v.k1,
v.differing,
    CASE
        WHEN v.verdict = 'missing' AND d.k0 IS NOT NULL THEN 'insert_after_delete_lost'
        WHEN v.verdict = 'missing' THEN 'never_arrived'
        WHEN v.verdict = 'extra' AND e.takes THEN 'update_lost_or_altered'
        WHEN v.verdict = 'extra' AND e.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'extra' THEN 'delete_lost'
        WHEN v.verdict = 'different' THEN 'update_lost_or_altered'
        ELSE 'changed_since'
    END AS cause
FROM _cdc_verdicts_0 AS v
LEFT JOIN (SELECT DISTINCT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1 FROM "CDC_MERGE"."TOMBSTONES" AS s WHERE s.source = 'e''commerce') AS d
    ON v.verdict = 'missing' AND d.k0 = v.k0 AND d.k1 = v.k1
LEFT JOIN (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1, s.takes_0 AS takes FROM _cdc_keys AS s WHERE NOT s.removed
) AS e
    ON v.verdict = 'extra' AND e.k0 = v.k0 AND e.k1 = v.k1;

-- [count causes in customers]
-- How often each cause.
SELECT c.verdict, c.cause, count(*)
FROM _cdc_causes_0 AS c
GROUP BY c.verdict, c.cause
ORDER BY c.verdict, c.cause;

-- [count columns of customers]
-- Which columns differed, together.
SELECT c.differing, count(*)
FROM _cdc_causes_0 AS c
WHERE c.verdict = 'different'
GROUP BY c.differing
ORDER BY count(*) DESC, c.differing
LIMIT 100;

-- [take samples of customers]
-- The first few keys of each verdict.
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS VARCHAR) AS k0, CAST(c.k1 AS VARCHAR) AS k1
    FROM _cdc_causes_0 AS c
    WHERE c.verdict = 'different'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_0
UNION ALL
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS VARCHAR) AS k0, CAST(c.k1 AS VARCHAR) AS k1
    FROM _cdc_causes_0 AS c
    WHERE c.verdict = 'extra'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_1
UNION ALL
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS VARCHAR) AS k0, CAST(c.k1 AS VARCHAR) AS k1
    FROM _cdc_causes_0 AS c
    WHERE c.verdict = 'missing'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_2;

-- [count newer of customers]
-- How many rows of the old table changed since the export, and how many come over of items that are gone.
SELECT
    count_if(v.verdict = 'newer'),
    count_if(v.verdict IN ('kept'))
FROM _cdc_verdicts_0 AS v
WHERE v.address IS NOT NULL;

-- [look at table of customers]
-- Who owns the table, and whether we may act as its owner: only who does may exchange it. How it is stored is not asked.
-- https://docs.snowflake.com/en/sql-reference/functions/is_role_in_session
SELECT t.table_owner, is_role_in_session(t.table_owner), 'p', CAST(NULL AS VARCHAR), 'd', '', ''
FROM information_schema.tables AS t
WHERE t.table_catalog = current_database()
    AND t.table_schema = 'ANALYTICS'
    AND t.table_name = 'CUSTOMERS';

-- [look at obstacles of customers]
-- What hides values or rows of the old table, and would hide nothing of the new one; as far as the role is told of it.
-- https://docs.snowflake.com/en/sql-reference/functions/policy_references
SELECT lower(replace(p.policy_kind, '_', ' ')) || ' ' || p.policy_name || coalesce(' on ' || p.ref_column_name, '')
FROM TABLE(information_schema.policy_references(ref_entity_name => '"ANALYTICS"."CUSTOMERS"', ref_entity_domain => 'TABLE')) AS p
ORDER BY 1;

-- [look at readers of customers]
-- Views, which find a table by its name. Their texts are only told to who owns them, and those of this database.
-- https://docs.snowflake.com/en/sql-reference/info-schema/views
SELECT v.table_schema, v.table_name, v.view_definition
FROM information_schema.views AS v
WHERE v.table_catalog = current_database() AND v.table_schema <> 'INFORMATION_SCHEMA' AND v.view_definition IS NOT NULL
ORDER BY 1, 2;

-- [record columns of customers]
-- The target has new columns.
UPDATE "CDC_MERGE"."TARGETS"
SET columns = '{"attributes": ["PK", "SK"], "key": ["pk", "sk"], "where": [{"path": ["Type"], "any_of": ["Customer"]}], "exchange": {"mark": "0123456789ab", "renamed": {}}, "columns": [{"name": "username", "path": ["Username"], "type": "text", "precision": null, "scale": null, "unit": null}, {"name": "spent", "path": ["TotalSpent"], "type": "numeric", "precision": 12, "scale": 2, "unit": null}, {"name": "addresses", "path": ["Addresses"], "type": "json", "precision": null, "scale": null, "unit": null}, {"name": "city", "path": ["Addresses", "Home", "City"], "type": "text", "precision": null, "scale": null, "unit": null}]}'
WHERE source = 'e''commerce' AND target = 'customers';

-- [fill customers]
-- What the export has, but for items that changed since: the empty position, and the floor as its time.
INSERT INTO "ANALYTICS"."_CDC_NEW_21EB2153_0123456789AB" (
    "PK",
    "SK",
    "USERNAME",
    "SPENT",
    "ADDRESSES",
    "CITY",
    _cdc_position, _cdc_changed_at, _cdc_merged_at, _cdc_rescued
)
SELECT
    s.k0,
    s.k1,
    CAST(s.c0 AS VARCHAR),
    CAST(s.c1 AS NUMERIC(12, 2)),
    CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END,
    CAST(s.c3 AS VARCHAR),
    '', CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), s.rescued
FROM (
    SELECT
        s.partition_key AS k0,
        CAST(s.sort_key AS NUMERIC(38, 18)) AS k1,
        r.*
    FROM _cdc_keys AS s
    JOIN _cdc_rows_0 AS r ON r.n = s.n
) AS s
LEFT JOIN _cdc_verdicts_0 AS v ON v.n = s.n AND v.verdict = 'newer'
WHERE v.n IS NULL;

-- [carry over in customers]
-- Rows that changed since the export come over from the old table, and those of deleted items where they are kept. By
-- their keys: an update by somebody may have moved a row since. Where the columns are not the same ones, values are
-- lacking: such a row gets a position just below its own, so that the change it came from is merged once more. The last
-- character gives way to the one before it and a tilde, which no position has: no other change comes in between.
INSERT INTO "ANALYTICS"."_CDC_NEW_21EB2153_0123456789AB" (
    "PK",
    "SK",
    "SPENT",
    "ADDRESSES",
    "CITY",
    _cdc_position, _cdc_changed_at, _cdc_merged_at, _cdc_rescued
)
SELECT
    t."PK",
    t."SK",
    t."SPENT",
    t."ADDRESSES",
    t."CITY",
    CASE
        WHEN t._cdc_position = '' THEN ''
        ELSE left(t._cdc_position, length(t._cdc_position) - 1) || chr(ascii(right(t._cdc_position, 1)) - 1) || '~'
    END,
    t._cdc_changed_at, t._cdc_merged_at, t._cdc_rescued
FROM (
    -- Once only, if someone has taken the primary key away and inserted a row twice.
    SELECT t.*, row_number() OVER (
        PARTITION BY t."PK", t."SK"
        ORDER BY t._cdc_position DESC
    ) AS _cdc_place
    FROM "ANALYTICS"."CUSTOMERS" AS t
    JOIN _cdc_verdicts_0 AS v
        ON t."PK" = v.k0 AND t."SK" = v.k1 AND v.verdict = 'newer'
) AS t
WHERE t._cdc_place = 1;

-- [forget objects]
-- Objects that may hold changes since the floor are to be merged once more; if nobody comes to it, the next worker does.
DELETE FROM "CDC_MERGE"."OBJECTS" WHERE source = 'e''commerce' AND modified_at >= CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE);

-- [raise floor of customers]
-- The target is verified up to here.
UPDATE "CDC_MERGE"."TARGETS"
SET floor_at = CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE)
WHERE source = 'e''commerce' AND target = 'customers' AND coalesce(floor_at < CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE);

-- [count tombstones]
-- How many tombstones are about to go.
SELECT count(*)
FROM "CDC_MERGE"."TOMBSTONES"
WHERE source = 'e''commerce'
    AND changed_at <= (
        SELECT CASE WHEN count(*) = count(f.floor_at) THEN min(f.floor_at) END
        FROM "CDC_MERGE"."TARGETS" AS f
        WHERE f.source = 'e''commerce'
    );

-- [collect tombstones]
-- A change as old as a tombstone at or below every floor of the source is stale by the floor alone. While one target
-- has no floor, none can go.
DELETE FROM "CDC_MERGE"."TOMBSTONES"
WHERE source = 'e''commerce'
    AND changed_at <= (
        SELECT CASE WHEN count(*) = count(f.floor_at) THEN min(f.floor_at) END
        FROM "CDC_MERGE"."TARGETS" AS f
        WHERE f.source = 'e''commerce'
    );

-- [record customers]
-- What one target was like, and what was done.
INSERT INTO "CDC_MERGE"."RECONCILIATIONS" (
    reconciliation_id, source, target, export, method, as_of, floor_at, items, unusable,
    equal_rows, missing, extra, different, newer, repaired, tombstones_collected,
    details, overridden, worker, started_at, finished_at
)
VALUES (
    '0123456789abcdef', 'e''commerce', 'customers', 's3://lake/AWSDynamoDB/01''', 'rebuild', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), 1009, 1,
    981, 3, 2, 5, 10, 10, 42,
    '{"causes": {"missing": {"never_arrived": 3}, "extra": {"delete_lost": 2}}, "columns": {"spent": 5, "city": 4}, "samples": [{"key": ["it''s", "7"], "verdict": "extra", "cause": "delete_lost", "columns": []}, {"key": ["b", "8"], "verdict": "different", "cause": "update_lost", "columns": ["spent"]}]}', 'customers: it''s forced', 'host:1', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
);

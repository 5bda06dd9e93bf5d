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
    SELECT t."PK" AS k0, t."SK" AS k1
    FROM "ANALYTICS"."OR""DERS'" AS t
    WHERE coalesce(t._cdc_changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
    UNION ALL
    SELECT t."PK" AS k0, t."SK" AS k1
    FROM "ANALYTICS"."LEADS" AS t
    WHERE coalesce(t._cdc_changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
    UNION ALL
    SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1
    FROM "CDC_MERGE"."TOMBSTONES" AS s
    WHERE s.source = 'e''commerce' AND coalesce(s.changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
) AS changed
LIMIT 0;

-- [foresee _cdc_copies_0]
-- No key is enforced, so a row may have been inserted twice by hand: the newest of its key is set aside, whole.
CREATE OR REPLACE TEMPORARY TABLE _cdc_copies_0 AS
SELECT c.*
FROM "ANALYTICS"."CUSTOMERS" AS c
QUALIFY row_number() OVER (
        PARTITION BY c."PK", c."SK"
        ORDER BY c._cdc_position DESC
    ) = 1
    AND count(*) OVER (
        PARTITION BY c."PK", c."SK"
    ) > 1
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
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."USERNAME" IS NOT DISTINCT FROM CAST(s.c0 AS VARCHAR)) THEN chr(10) || 'username' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2))) THEN chr(10) || 'spent' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END) THEN chr(10) || 'addresses' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR)) THEN chr(10) || 'city' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END THEN chr(10) || '_cdc_rescued' ELSE '' END
, 2), '') AS differing
FROM pairs AS x
LEFT JOIN "ANALYTICS"."CUSTOMERS" AS t
    ON t."PK" = x.k0 AND t."SK" = x.k1
LEFT JOIN _cdc_rows_0 AS s
    ON s.n = x.n
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
    OR NOT (t."USERNAME" IS NOT DISTINCT FROM CAST(s.c0 AS VARCHAR))
    OR NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2)))
    OR NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END)
    OR NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR))
    OR NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END
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
        WHEN v.verdict = 'missing' AND o1.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'missing' AND o2.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'missing' THEN 'never_arrived'
        WHEN v.verdict = 'extra' AND e.takes THEN 'update_lost_or_altered'
        WHEN v.verdict = 'extra' AND e.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'extra' THEN 'delete_lost'
        WHEN v.verdict = 'different' THEN 'update_lost_or_altered'
        ELSE 'changed_since'
    END AS cause
FROM _cdc_verdicts_0 AS v
LEFT JOIN _cdc_keys AS q ON q.n = v.n
LEFT JOIN (SELECT DISTINCT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1 FROM "CDC_MERGE"."TOMBSTONES" AS s WHERE s.source = 'e''commerce') AS d
    ON v.verdict = 'missing' AND d.k0 = v.k0 AND d.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."PK" AS k0, t."SK" AS k1 FROM "ANALYTICS"."OR""DERS'" AS t
) AS o1
    ON v.verdict = 'missing' AND NOT q.takes_1 AND o1.k0 = v.k0 AND o1.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."PK" AS k0, t."SK" AS k1 FROM "ANALYTICS"."LEADS" AS t
) AS o2
    ON v.verdict = 'missing' AND o2.k0 = v.k0 AND o2.k1 = v.k1
LEFT JOIN (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1, s.takes_0 AS takes FROM _cdc_keys AS s WHERE NOT s.removed
) AS e
    ON v.verdict = 'extra' AND e.k0 = v.k0 AND e.k1 = v.k1
LIMIT 0;

-- [foresee _cdc_copies_1]
-- No key is enforced, so a row may have been inserted twice by hand: the newest of its key is set aside, whole.
CREATE OR REPLACE TEMPORARY TABLE _cdc_copies_1 AS
SELECT c.*
FROM "ANALYTICS"."OR""DERS'" AS c
QUALIFY row_number() OVER (
        PARTITION BY c."PK", c."SK"
        ORDER BY c._cdc_position DESC
    ) = 1
    AND count(*) OVER (
        PARTITION BY c."PK", c."SK"
    ) > 1
LIMIT 0;

-- [foresee _cdc_verdicts_1]
-- One target beside the export: every row that is not the same in both, by its key. The keys of both sides are joined
-- first, since a full join takes no columns of semi-structured data.
CREATE OR REPLACE TEMPORARY TABLE _cdc_verdicts_1 AS
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
JOIN _cdc_rows_1 AS r ON r.n = s.n
    ) AS s
    FULL JOIN (
        SELECT t."PK" AS k0, t."SK" AS k1, 1 AS _cdc_row
        FROM "ANALYTICS"."OR""DERS'" AS t
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
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."SELECT" IS NOT DISTINCT FROM CAST(s.c0 AS NUMERIC(38, 0))) THEN chr(10) || 'select' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."CREATED_AT" IS NOT DISTINCT FROM CAST(s.c1 AS TIMESTAMP_TZ)) THEN chr(10) || 'created_at' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."PAID" IS NOT DISTINCT FROM CAST(s.c2 AS BOOLEAN)) THEN chr(10) || 'paid' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."TOKEN" IS NOT DISTINCT FROM CAST(s.c3 AS BINARY)) THEN chr(10) || 'token' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END THEN chr(10) || '_cdc_rescued' ELSE '' END
, 2), '') AS differing
FROM pairs AS x
LEFT JOIN "ANALYTICS"."OR""DERS'" AS t
    ON t."PK" = x.k0 AND t."SK" = x.k1
LEFT JOIN _cdc_rows_1 AS s
    ON s.n = x.n
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
    OR NOT (t."SELECT" IS NOT DISTINCT FROM CAST(s.c0 AS NUMERIC(38, 0)))
    OR NOT (t."CREATED_AT" IS NOT DISTINCT FROM CAST(s.c1 AS TIMESTAMP_TZ))
    OR NOT (t."PAID" IS NOT DISTINCT FROM CAST(s.c2 AS BOOLEAN))
    OR NOT (t."TOKEN" IS NOT DISTINCT FROM CAST(s.c3 AS BINARY))
    OR NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END
LIMIT 0;

-- [foresee _cdc_causes_1]
-- What can be told of why: a row that is missing beside a tombstone lost the insert after a delete, one whose item
-- lies in a table that should not have it lost a move, one that nothing is known of never arrived. An extra row whose
-- item the export has for other tables moved away; one of an item it does not have lost its delete. An element that is
-- missing or extra beside others of its item lost the item's update. A row that differs in nothing but columns that were
-- configured since, and in what these take out of _cdc_rescued, had no value of them yet.
CREATE OR REPLACE TEMPORARY TABLE _cdc_causes_1 AS
SELECT
    v.verdict,
    v.k0,
    v.k1,
v.differing,
    CASE
        WHEN v.verdict = 'missing' AND d.k0 IS NOT NULL THEN 'insert_after_delete_lost'
        WHEN v.verdict = 'missing' AND o0.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'missing' AND o2.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'missing' THEN 'never_arrived'
        WHEN v.verdict = 'extra' AND e.takes THEN 'update_lost_or_altered'
        WHEN v.verdict = 'extra' AND e.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'extra' THEN 'delete_lost'
        WHEN v.verdict = 'different' THEN 'update_lost_or_altered'
        ELSE 'changed_since'
    END AS cause
FROM _cdc_verdicts_1 AS v
LEFT JOIN _cdc_keys AS q ON q.n = v.n
LEFT JOIN (SELECT DISTINCT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1 FROM "CDC_MERGE"."TOMBSTONES" AS s WHERE s.source = 'e''commerce') AS d
    ON v.verdict = 'missing' AND d.k0 = v.k0 AND d.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."PK" AS k0, t."SK" AS k1 FROM "ANALYTICS"."CUSTOMERS" AS t
) AS o0
    ON v.verdict = 'missing' AND NOT q.takes_0 AND o0.k0 = v.k0 AND o0.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."PK" AS k0, t."SK" AS k1 FROM "ANALYTICS"."LEADS" AS t
) AS o2
    ON v.verdict = 'missing' AND o2.k0 = v.k0 AND o2.k1 = v.k1
LEFT JOIN (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1, s.takes_1 AS takes FROM _cdc_keys AS s WHERE NOT s.removed
) AS e
    ON v.verdict = 'extra' AND e.k0 = v.k0 AND e.k1 = v.k1
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
LEFT JOIN _cdc_rows_0 AS r ON r.n = s.n
    ) AS s
    FULL JOIN (
        SELECT t."PK" AS k0, t."SK" AS k1, max(t._cdc_changed_at) AS changed_at, 1 AS _cdc_row
        FROM "ANALYTICS"."CUSTOMERS" AS t
        GROUP BY t."PK", t."SK"
    ) AS t
        ON t.k0 = s.k0 AND t.k1 = s.k1
    LEFT JOIN _cdc_newer AS w
        ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
    WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
        -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
        -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
        AND (s.k0 IS NOT NULL OR (t.changed_at > NULL AND w.k0 IS NULL))
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
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."USERNAME" IS NOT DISTINCT FROM CAST(s.c0 AS VARCHAR)) THEN chr(10) || 'username' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2))) THEN chr(10) || 'spent' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END) THEN chr(10) || 'addresses' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR)) THEN chr(10) || 'city' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END THEN chr(10) || '_cdc_rescued' ELSE '' END
, 2), '') AS differing
FROM pairs AS x
LEFT JOIN "ANALYTICS"."CUSTOMERS" AS t
    ON t."PK" = x.k0 AND t."SK" = x.k1
LEFT JOIN _cdc_rows_0 AS s
    ON s.n = x.n
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
    OR NOT (t."USERNAME" IS NOT DISTINCT FROM CAST(s.c0 AS VARCHAR))
    OR NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2)))
    OR NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END)
    OR NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR))
    OR NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END
LIMIT 0;

-- [foresee _cdc_verdicts_1]
-- One target beside the export: every row that is not the same in both, by its key. The keys of both sides are joined
-- first, since a full join takes no columns of semi-structured data.
CREATE OR REPLACE TEMPORARY TABLE _cdc_verdicts_1 AS
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
LEFT JOIN _cdc_rows_1 AS r ON r.n = s.n
    ) AS s
    FULL JOIN (
        SELECT t."PK" AS k0, t."SK" AS k1, max(t._cdc_changed_at) AS changed_at, 1 AS _cdc_row
        FROM "ANALYTICS"."OR""DERS'" AS t
        GROUP BY t."PK", t."SK"
    ) AS t
        ON t.k0 = s.k0 AND t.k1 = s.k1
    LEFT JOIN _cdc_newer AS w
        ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
    WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
        -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
        -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
        AND (s.k0 IS NOT NULL OR (t.changed_at > CAST('2026-01-01 00:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE) AND w.k0 IS NULL))
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
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."SELECT" IS NOT DISTINCT FROM CAST(s.c0 AS NUMERIC(38, 0))) THEN chr(10) || 'select' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."CREATED_AT" IS NOT DISTINCT FROM CAST(s.c1 AS TIMESTAMP_TZ)) THEN chr(10) || 'created_at' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."PAID" IS NOT DISTINCT FROM CAST(s.c2 AS BOOLEAN)) THEN chr(10) || 'paid' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."TOKEN" IS NOT DISTINCT FROM CAST(s.c3 AS BINARY)) THEN chr(10) || 'token' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END THEN chr(10) || '_cdc_rescued' ELSE '' END
, 2), '') AS differing
FROM pairs AS x
LEFT JOIN "ANALYTICS"."OR""DERS'" AS t
    ON t."PK" = x.k0 AND t."SK" = x.k1
LEFT JOIN _cdc_rows_1 AS s
    ON s.n = x.n
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
    OR NOT (t."SELECT" IS NOT DISTINCT FROM CAST(s.c0 AS NUMERIC(38, 0)))
    OR NOT (t."CREATED_AT" IS NOT DISTINCT FROM CAST(s.c1 AS TIMESTAMP_TZ))
    OR NOT (t."PAID" IS NOT DISTINCT FROM CAST(s.c2 AS BOOLEAN))
    OR NOT (t."TOKEN" IS NOT DISTINCT FROM CAST(s.c3 AS BINARY))
    OR NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END
LIMIT 0;

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
    SELECT t."PK" AS k0, t."SK" AS k1
    FROM "ANALYTICS"."OR""DERS'" AS t
    WHERE coalesce(t._cdc_changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
    UNION ALL
    SELECT t."PK" AS k0, t."SK" AS k1
    FROM "ANALYTICS"."LEADS" AS t
    WHERE coalesce(t._cdc_changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
    UNION ALL
    SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1
    FROM "CDC_MERGE"."TOMBSTONES" AS s
    WHERE s.source = 'e''commerce' AND coalesce(s.changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
) AS changed;

-- [count copies in customers]
-- Rows beyond the first of their key.
SELECT coalesce(sum(c.copies - 1), 0)
FROM (
    SELECT count(*) AS copies
    FROM "ANALYTICS"."CUSTOMERS" AS t
    GROUP BY t."PK", t."SK"
) AS c;

-- [keep one of each copy in customers]
-- No key is enforced, so a row may have been inserted twice by hand: the newest of its key is set aside, whole.
INSERT INTO _cdc_copies_0
SELECT c.*
FROM "ANALYTICS"."CUSTOMERS" AS c
QUALIFY row_number() OVER (
        PARTITION BY c."PK", c."SK"
        ORDER BY c._cdc_position DESC
    ) = 1
    AND count(*) OVER (
        PARTITION BY c."PK", c."SK"
    ) > 1;

-- [delete copies from customers]
-- All rows of a key that is there twice.
DELETE FROM "ANALYTICS"."CUSTOMERS"
USING _cdc_copies_0 AS c
WHERE "CUSTOMERS"."PK" = c."PK" AND "CUSTOMERS"."SK" = c."SK";

-- [restore one of each copy in customers]
-- The one that was set aside.
INSERT INTO "ANALYTICS"."CUSTOMERS"
SELECT c.*
FROM _cdc_copies_0 AS c;

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
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."USERNAME" IS NOT DISTINCT FROM CAST(s.c0 AS VARCHAR)) THEN chr(10) || 'username' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2))) THEN chr(10) || 'spent' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END) THEN chr(10) || 'addresses' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR)) THEN chr(10) || 'city' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END THEN chr(10) || '_cdc_rescued' ELSE '' END
, 2), '') AS differing
FROM pairs AS x
LEFT JOIN "ANALYTICS"."CUSTOMERS" AS t
    ON t."PK" = x.k0 AND t."SK" = x.k1
LEFT JOIN _cdc_rows_0 AS s
    ON s.n = x.n
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
    OR NOT (t."USERNAME" IS NOT DISTINCT FROM CAST(s.c0 AS VARCHAR))
    OR NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2)))
    OR NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END)
    OR NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR))
    OR NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END;

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
        WHEN v.verdict = 'missing' AND o1.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'missing' AND o2.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'missing' THEN 'never_arrived'
        WHEN v.verdict = 'extra' AND e.takes THEN 'update_lost_or_altered'
        WHEN v.verdict = 'extra' AND e.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'extra' THEN 'delete_lost'
        WHEN v.verdict = 'different' THEN 'update_lost_or_altered'
        ELSE 'changed_since'
    END AS cause
FROM _cdc_verdicts_0 AS v
LEFT JOIN _cdc_keys AS q ON q.n = v.n
LEFT JOIN (SELECT DISTINCT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1 FROM "CDC_MERGE"."TOMBSTONES" AS s WHERE s.source = 'e''commerce') AS d
    ON v.verdict = 'missing' AND d.k0 = v.k0 AND d.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."PK" AS k0, t."SK" AS k1 FROM "ANALYTICS"."OR""DERS'" AS t
) AS o1
    ON v.verdict = 'missing' AND NOT q.takes_1 AND o1.k0 = v.k0 AND o1.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."PK" AS k0, t."SK" AS k1 FROM "ANALYTICS"."LEADS" AS t
) AS o2
    ON v.verdict = 'missing' AND o2.k0 = v.k0 AND o2.k1 = v.k1
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

-- [count copies in or"ders']
-- Rows beyond the first of their key.
SELECT coalesce(sum(c.copies - 1), 0)
FROM (
    SELECT count(*) AS copies
    FROM "ANALYTICS"."OR""DERS'" AS t
    GROUP BY t."PK", t."SK"
) AS c;

-- [keep one of each copy in or"ders']
-- No key is enforced, so a row may have been inserted twice by hand: the newest of its key is set aside, whole.
INSERT INTO _cdc_copies_1
SELECT c.*
FROM "ANALYTICS"."OR""DERS'" AS c
QUALIFY row_number() OVER (
        PARTITION BY c."PK", c."SK"
        ORDER BY c._cdc_position DESC
    ) = 1
    AND count(*) OVER (
        PARTITION BY c."PK", c."SK"
    ) > 1;

-- [delete copies from or"ders']
-- All rows of a key that is there twice.
DELETE FROM "ANALYTICS"."OR""DERS'"
USING _cdc_copies_1 AS c
WHERE "OR""DERS'"."PK" = c."PK" AND "OR""DERS'"."SK" = c."SK";

-- [restore one of each copy in or"ders']
-- The one that was set aside.
INSERT INTO "ANALYTICS"."OR""DERS'"
SELECT c.*
FROM _cdc_copies_1 AS c;

-- [compare or"ders']
-- One target beside the export: every row that is not the same in both, by its key. The keys of both sides are joined
-- first, since a full join takes no columns of semi-structured data.
INSERT INTO _cdc_verdicts_1
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
JOIN _cdc_rows_1 AS r ON r.n = s.n
    ) AS s
    FULL JOIN (
        SELECT t."PK" AS k0, t."SK" AS k1, 1 AS _cdc_row
        FROM "ANALYTICS"."OR""DERS'" AS t
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
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."SELECT" IS NOT DISTINCT FROM CAST(s.c0 AS NUMERIC(38, 0))) THEN chr(10) || 'select' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."CREATED_AT" IS NOT DISTINCT FROM CAST(s.c1 AS TIMESTAMP_TZ)) THEN chr(10) || 'created_at' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."PAID" IS NOT DISTINCT FROM CAST(s.c2 AS BOOLEAN)) THEN chr(10) || 'paid' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."TOKEN" IS NOT DISTINCT FROM CAST(s.c3 AS BINARY)) THEN chr(10) || 'token' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END THEN chr(10) || '_cdc_rescued' ELSE '' END
, 2), '') AS differing
FROM pairs AS x
LEFT JOIN "ANALYTICS"."OR""DERS'" AS t
    ON t."PK" = x.k0 AND t."SK" = x.k1
LEFT JOIN _cdc_rows_1 AS s
    ON s.n = x.n
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
    OR NOT (t."SELECT" IS NOT DISTINCT FROM CAST(s.c0 AS NUMERIC(38, 0)))
    OR NOT (t."CREATED_AT" IS NOT DISTINCT FROM CAST(s.c1 AS TIMESTAMP_TZ))
    OR NOT (t."PAID" IS NOT DISTINCT FROM CAST(s.c2 AS BOOLEAN))
    OR NOT (t."TOKEN" IS NOT DISTINCT FROM CAST(s.c3 AS BINARY))
    OR NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END;

-- [count or"ders']
-- How many of each, with what is needed to see whether a row is there twice.
SELECT
    (SELECT count(*) FROM "ANALYTICS"."OR""DERS'"),
    (SELECT count(*) FROM _cdc_keys AS s JOIN _cdc_rows_1 AS r ON r.n = s.n),
    count_if(v.verdict = 'missing'),
    count_if(v.verdict = 'extra'),
    count_if(v.verdict = 'different'),
    count_if(v.verdict = 'newer'),
    count(v.address),
    count(v.n),
    (SELECT count(*) FROM (SELECT DISTINCT v.n FROM _cdc_verdicts_1 AS v WHERE v.n IS NOT NULL) AS told)
FROM _cdc_verdicts_1 AS v;

-- [find causes in or"ders']
-- What can be told of why: a row that is missing beside a tombstone lost the insert after a delete, one whose item
-- lies in a table that should not have it lost a move, one that nothing is known of never arrived. An extra row whose
-- item the export has for other tables moved away; one of an item it does not have lost its delete. An element that is
-- missing or extra beside others of its item lost the item's update. A row that differs in nothing but columns that were
-- configured since, and in what these take out of _cdc_rescued, had no value of them yet.
INSERT INTO _cdc_causes_1
SELECT
    v.verdict,
    v.k0,
    v.k1,
v.differing,
    CASE
        WHEN v.verdict = 'missing' AND d.k0 IS NOT NULL THEN 'insert_after_delete_lost'
        WHEN v.verdict = 'missing' AND o0.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'missing' AND o2.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'missing' THEN 'never_arrived'
        WHEN v.verdict = 'extra' AND e.takes THEN 'update_lost_or_altered'
        WHEN v.verdict = 'extra' AND e.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'extra' THEN 'delete_lost'
        WHEN v.verdict = 'different' THEN 'update_lost_or_altered'
        ELSE 'changed_since'
    END AS cause
FROM _cdc_verdicts_1 AS v
LEFT JOIN _cdc_keys AS q ON q.n = v.n
LEFT JOIN (SELECT DISTINCT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1 FROM "CDC_MERGE"."TOMBSTONES" AS s WHERE s.source = 'e''commerce') AS d
    ON v.verdict = 'missing' AND d.k0 = v.k0 AND d.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."PK" AS k0, t."SK" AS k1 FROM "ANALYTICS"."CUSTOMERS" AS t
) AS o0
    ON v.verdict = 'missing' AND NOT q.takes_0 AND o0.k0 = v.k0 AND o0.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."PK" AS k0, t."SK" AS k1 FROM "ANALYTICS"."LEADS" AS t
) AS o2
    ON v.verdict = 'missing' AND o2.k0 = v.k0 AND o2.k1 = v.k1
LEFT JOIN (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS NUMERIC(38, 18)) AS k1, s.takes_1 AS takes FROM _cdc_keys AS s WHERE NOT s.removed
) AS e
    ON v.verdict = 'extra' AND e.k0 = v.k0 AND e.k1 = v.k1;

-- [count causes in or"ders']
-- How often each cause.
SELECT c.verdict, c.cause, count(*)
FROM _cdc_causes_1 AS c
GROUP BY c.verdict, c.cause
ORDER BY c.verdict, c.cause;

-- [count columns of or"ders']
-- Which columns differed, together.
SELECT c.differing, count(*)
FROM _cdc_causes_1 AS c
WHERE c.verdict = 'different'
GROUP BY c.differing
ORDER BY count(*) DESC, c.differing
LIMIT 100;

-- [take samples of or"ders']
-- The first few keys of each verdict.
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS VARCHAR) AS k0, CAST(c.k1 AS VARCHAR) AS k1
    FROM _cdc_causes_1 AS c
    WHERE c.verdict = 'different'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_0
UNION ALL
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS VARCHAR) AS k0, CAST(c.k1 AS VARCHAR) AS k1
    FROM _cdc_causes_1 AS c
    WHERE c.verdict = 'extra'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_1
UNION ALL
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS VARCHAR) AS k0, CAST(c.k1 AS VARCHAR) AS k1
    FROM _cdc_causes_1 AS c
    WHERE c.verdict = 'missing'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_2;

-- [delete from customers]
-- Rows the export does not have, or has with other values.
DELETE FROM "ANALYTICS"."CUSTOMERS"
USING _cdc_verdicts_0 AS v
WHERE v.verdict IN ('extra', 'different')
    AND "CUSTOMERS"."PK" = v.k0
    AND "CUSTOMERS"."SK" = v.k1;

-- [insert into customers]
-- What the export has: the empty position, which every change after the floor outranks, and the floor as its time.
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
    v.k0,
    v.k1,
    CAST(s.c0 AS VARCHAR),
    CAST(s.c1 AS NUMERIC(12, 2)),
    CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END,
    CAST(s.c3 AS VARCHAR),
    '', CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), s.rescued
FROM _cdc_rows_0 AS s
JOIN _cdc_verdicts_0 AS v ON v.n = s.n
WHERE v.verdict IN ('missing', 'different');

-- [raise floor of customers]
-- The target is verified up to here.
UPDATE "CDC_MERGE"."TARGETS"
SET floor_at = CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE)
WHERE source = 'e''commerce' AND target = 'customers' AND coalesce(floor_at < CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE);

-- [raise floor of or"ders']
-- The target is verified up to here.
UPDATE "CDC_MERGE"."TARGETS"
SET floor_at = CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE)
WHERE source = 'e''commerce' AND target = 'or"ders''' AND coalesce(floor_at < CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE);

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
    '0123456789abcdef', 'e''commerce', 'customers', 's3://lake/AWSDynamoDB/01''', 'export', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), 1009, 1,
    981, 3, 2, 5, 10, 10, 42,
    '{"causes": {"missing": {"never_arrived": 3}, "extra": {"delete_lost": 2}}, "columns": {"spent": 5, "city": 4}, "samples": [{"key": ["it''s", "7"], "verdict": "extra", "cause": "delete_lost", "columns": []}, {"key": ["b", "8"], "verdict": "different", "cause": "update_lost", "columns": ["spent"]}]}', 'customers: it''s forced; or"ders'': it''s forced', 'host:1', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
);

-- [record or"ders']
-- What one target was like, and what was done.
INSERT INTO "CDC_MERGE"."RECONCILIATIONS" (
    reconciliation_id, source, target, export, method, as_of, floor_at, items, unusable,
    equal_rows, missing, extra, different, newer, repaired, tombstones_collected,
    details, overridden, worker, started_at, finished_at
)
VALUES (
    '0123456789abcdef', 'e''commerce', 'or"ders''', 's3://lake/AWSDynamoDB/01''', 'export', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), 1009, 1,
    10, 0, 0, 0, 0, 0, 42,
    '{"causes": {}, "columns": {}, "samples": []}', 'customers: it''s forced; or"ders'': it''s forced', 'host:1', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
);

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
LEFT JOIN _cdc_rows_0 AS r ON r.n = s.n
    ) AS s
    FULL JOIN (
        SELECT t."PK" AS k0, t."SK" AS k1, max(t._cdc_changed_at) AS changed_at, 1 AS _cdc_row
        FROM "ANALYTICS"."CUSTOMERS" AS t
        GROUP BY t."PK", t."SK"
    ) AS t
        ON t.k0 = s.k0 AND t.k1 = s.k1
    LEFT JOIN _cdc_newer AS w
        ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
    WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
        -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
        -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
        AND (s.k0 IS NOT NULL OR (t.changed_at > NULL AND w.k0 IS NULL))
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
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."USERNAME" IS NOT DISTINCT FROM CAST(s.c0 AS VARCHAR)) THEN chr(10) || 'username' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2))) THEN chr(10) || 'spent' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END) THEN chr(10) || 'addresses' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR)) THEN chr(10) || 'city' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END THEN chr(10) || '_cdc_rescued' ELSE '' END
, 2), '') AS differing
FROM pairs AS x
LEFT JOIN "ANALYTICS"."CUSTOMERS" AS t
    ON t."PK" = x.k0 AND t."SK" = x.k1
LEFT JOIN _cdc_rows_0 AS s
    ON s.n = x.n
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
    OR NOT (t."USERNAME" IS NOT DISTINCT FROM CAST(s.c0 AS VARCHAR))
    OR NOT (t."SPENT" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2)))
    OR NOT (t."ADDRESSES" IS NOT DISTINCT FROM CASE WHEN REGEXP_LIKE(REGEXP_REPLACE(s.c2, '"([^"\\\\]|\\\\.)*"'), '.*[0-9]([eE]|[0-9.]{38}).*', 's') THEN TO_VARIANT(s.c2) ELSE PARSE_JSON(s.c2) END)
    OR NOT (t."CITY" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR))
    OR NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END;

-- [compare or"ders']
-- One target beside the export: every row that is not the same in both, by its key. The keys of both sides are joined
-- first, since a full join takes no columns of semi-structured data.
INSERT INTO _cdc_verdicts_1
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
LEFT JOIN _cdc_rows_1 AS r ON r.n = s.n
    ) AS s
    FULL JOIN (
        SELECT t."PK" AS k0, t."SK" AS k1, max(t._cdc_changed_at) AS changed_at, 1 AS _cdc_row
        FROM "ANALYTICS"."OR""DERS'" AS t
        GROUP BY t."PK", t."SK"
    ) AS t
        ON t.k0 = s.k0 AND t.k1 = s.k1
    LEFT JOIN _cdc_newer AS w
        ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
    WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
        -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
        -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
        AND (s.k0 IS NOT NULL OR (t.changed_at > CAST('2026-01-01 00:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE) AND w.k0 IS NULL))
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
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."SELECT" IS NOT DISTINCT FROM CAST(s.c0 AS NUMERIC(38, 0))) THEN chr(10) || 'select' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."CREATED_AT" IS NOT DISTINCT FROM CAST(s.c1 AS TIMESTAMP_TZ)) THEN chr(10) || 'created_at' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."PAID" IS NOT DISTINCT FROM CAST(s.c2 AS BOOLEAN)) THEN chr(10) || 'paid' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."TOKEN" IS NOT DISTINCT FROM CAST(s.c3 AS BINARY)) THEN chr(10) || 'token' ELSE '' END
    || CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END THEN chr(10) || '_cdc_rescued' ELSE '' END
, 2), '') AS differing
FROM pairs AS x
LEFT JOIN "ANALYTICS"."OR""DERS'" AS t
    ON t."PK" = x.k0 AND t."SK" = x.k1
LEFT JOIN _cdc_rows_1 AS s
    ON s.n = x.n
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
    OR NOT (t."SELECT" IS NOT DISTINCT FROM CAST(s.c0 AS NUMERIC(38, 0)))
    OR NOT (t."CREATED_AT" IS NOT DISTINCT FROM CAST(s.c1 AS TIMESTAMP_TZ))
    OR NOT (t."PAID" IS NOT DISTINCT FROM CAST(s.c2 AS BOOLEAN))
    OR NOT (t."TOKEN" IS NOT DISTINCT FROM CAST(s.c3 AS BINARY))
    OR NOT CASE WHEN t._cdc_rescued IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce(PARSE_JSON(t._cdc_rescued) = PARSE_JSON(s.rescued), FALSE) END;

-- [insert into or"ders']
-- What the export has: the empty position, which every change after the floor outranks, and the floor as its time.
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
    v.k0,
    v.k1,
    CAST(s.c0 AS NUMERIC(38, 0)),
    CAST(s.c1 AS TIMESTAMP_TZ),
    CAST(s.c2 AS BOOLEAN),
    CAST(s.c3 AS BINARY),
    '', CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), s.rescued
FROM _cdc_rows_1 AS s
JOIN _cdc_verdicts_1 AS v ON v.n = s.n
WHERE v.verdict IN ('missing', 'different');

-- [record or"ders']
-- What one target was like, and what was done.
INSERT INTO "CDC_MERGE"."RECONCILIATIONS" (
    reconciliation_id, source, target, export, method, as_of, floor_at, items, unusable,
    equal_rows, missing, extra, different, newer, repaired, tombstones_collected,
    details, overridden, worker, started_at, finished_at
)
VALUES (
    '0123456789abcdef', 'e''commerce', 'or"ders''', 's3://lake/AWSDynamoDB/01''', 'export', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), 1009, 1,
    0, 10, 0, 0, 0, 10, 42,
    '{"causes": {}, "columns": {}, "samples": []}', 'customers: it''s forced; or"ders'': it''s forced', 'host:1', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
);

-- [look at floors]
-- The targets' floors as they are now, under the lock.
SELECT target, floor_at FROM "cdc_merge"."targets" WHERE source = 'e''commerce';

-- [find newer]
-- Keys whose last known change, in any table of the source or as a tombstone, came after the time the export can
-- vouch for. The feed knows them better. A change without a time may be that new.
CREATE TEMPORARY TABLE _cdc_newer AS
SELECT DISTINCT k0, k1
FROM (
    SELECT t."pk" AS k0, t."sk" AS k1
    FROM "analytics"."customers" AS t
    WHERE coalesce(t._cdc_changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
    UNION ALL
    SELECT t."pk" AS k0, t."sk" AS k1
    FROM "analytics"."or""ders'" AS t
    WHERE coalesce(t._cdc_changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
    UNION ALL
    SELECT t."pk" AS k0, t."sk" AS k1
    FROM "analytics"."leads" AS t
    WHERE coalesce(t._cdc_changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
    UNION ALL
    SELECT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1
    FROM "cdc_merge"."tombstones" AS s
    WHERE s.source = 'e''commerce' AND coalesce(s.changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
) AS changed;

-- [count copies in customers]
-- Rows beyond the first of their key.
SELECT count(*) - count(DISTINCT (t."pk", t."sk"))
FROM "analytics"."customers" AS t;

-- [delete copies from customers]
-- Without a primary key a row may have been inserted twice by hand: the newest of its key stays.
DELETE FROM "analytics"."customers" AS t
WHERE t.rowid IN (
    SELECT address
    FROM (
        SELECT
            c.rowid AS address,
            row_number() OVER (
                PARTITION BY c."pk", c."sk"
                ORDER BY c._cdc_position DESC, c.rowid
            ) AS place
        FROM "analytics"."customers" AS c
    ) AS ranked
    WHERE place > 1
);

-- [hash the export for customers]
-- The export's rows of one target: their keys, and a hash of all else.
CREATE TEMPORARY TABLE _cdc_hashed_0 AS
SELECT *
FROM (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1, s.n, hash(CAST(s.c0 AS VARCHAR), CAST(s.c1 AS NUMERIC(12, 2)), CAST(s.c2 AS JSON), CAST(s.c3 AS VARCHAR), s.rescued) AS h
    FROM _cdc_keyed_0 AS s
) AS s;

-- [find suspects in customers]
-- Nearly all rows are the same, and equal values have equal hashes: so whole rows are looked at only where the hashes
-- differ, and a join of keys and hashes is small enough to stay in memory far longer.
CREATE TEMPORARY TABLE _cdc_suspects_0 AS
SELECT
    s.n,
    t._cdc_row,
    coalesce(t.k0, s.k0) AS k0,
    coalesce(t.k1, s.k1) AS k1,
w.k0 IS NOT NULL AS is_newer
FROM (
    SELECT *
    FROM _cdc_hashed_0 AS s
    WHERE TRUE
) AS s
FULL JOIN (
    SELECT t."pk" AS k0, t."sk" AS k1, t.rowid AS _cdc_row, hash(t."username", t."spent", t."addresses", t."city", CAST(t._cdc_rescued AS VARCHAR)) AS h
    FROM "analytics"."customers" AS t
    WHERE TRUE
) AS t
    ON t.k0 = s.k0 AND t.k1 = s.k1
LEFT JOIN _cdc_newer AS w
    ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    AND (w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL OR t.h <> s.h);

-- [compare customers]
-- One target beside the export: the rows that only one of both has.
CREATE TEMPORARY TABLE _cdc_verdicts_0 AS
SELECT
    x.n AS n,
x._cdc_row AS address,
    x.k0 AS k0,
    x.k1 AS k1,
    CASE
        WHEN x.is_newer THEN 'newer'
        WHEN x._cdc_row IS NULL THEN 'missing'
        ELSE 'extra'
    END AS verdict,
    CAST('' AS VARCHAR) AS differing
FROM _cdc_suspects_0 AS x
WHERE x._cdc_row IS NULL OR x.n IS NULL;

-- [find what differs in customers]
-- And those that both have, where the hashes differ or the feed knows better.
INSERT INTO _cdc_verdicts_0
SELECT
    x.n AS n,
x._cdc_row AS address,
    x.k0 AS k0,
    x.k1 AS k1,
    CASE WHEN x.is_newer THEN 'newer' ELSE 'different' END AS verdict,
    -- The names of the columns that differ, of a row that both sides have. In pieces: Postgres takes a hundred arguments.
-- https://www.postgresql.org/docs/current/runtime-config-preset.html
concat_ws(
    chr(10)
    , nullif(concat_ws(
        chr(10)
        , CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."username" IS NOT DISTINCT FROM CAST(s.c0 AS VARCHAR)) THEN 'username' END
        , CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."spent" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2))) THEN 'spent' END
        , CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN t."addresses" IS NOT DISTINCT FROM CAST(s.c2 AS JSON) THEN TRUE ELSE coalesce(same_json(t."addresses", CAST(s.c2 AS JSON)), FALSE) END THEN 'addresses' END
        , CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."city" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR)) THEN 'city' END
        , CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN CAST(t._cdc_rescued AS VARCHAR) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE same_rescued(coalesce(CAST(t._cdc_rescued AS VARCHAR), '{}'), coalesce(s.rescued, '{}')) END THEN '_cdc_rescued' END
    ), '')
) AS differing
FROM _cdc_suspects_0 AS x
JOIN "analytics"."customers" AS t ON t.rowid = x._cdc_row
JOIN _cdc_rows_0 AS s ON s.n = x.n
WHERE x.is_newer
    OR NOT (t."username" IS NOT DISTINCT FROM CAST(s.c0 AS VARCHAR))
    OR NOT (t."spent" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2)))
    OR NOT CASE WHEN t."addresses" IS NOT DISTINCT FROM CAST(s.c2 AS JSON) THEN TRUE ELSE coalesce(same_json(t."addresses", CAST(s.c2 AS JSON)), FALSE) END
    OR NOT (t."city" IS NOT DISTINCT FROM CAST(s.c3 AS VARCHAR))
    OR NOT CASE WHEN CAST(t._cdc_rescued AS VARCHAR) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE same_rescued(coalesce(CAST(t._cdc_rescued AS VARCHAR), '{}'), coalesce(s.rescued, '{}')) END;

-- [count customers]
-- How many of each, with what is needed to see whether a row is there twice.
SELECT
    (SELECT count(*) FROM "analytics"."customers"),
    (SELECT count(*) FROM _cdc_keyed_0),
    count(*) FILTER (WHERE v.verdict = 'missing'),
    count(*) FILTER (WHERE v.verdict = 'extra'),
    count(*) FILTER (WHERE v.verdict = 'different'),
    count(*) FILTER (WHERE v.verdict = 'newer'),
    count(v.address),
    count(v.n),
    -- What meets no row is there once; to tell millions of these apart would take long.
    count(DISTINCT v.n) FILTER (WHERE v.n IS NOT NULL AND v.address IS NOT NULL)
    + count(*) FILTER (WHERE v.n IS NOT NULL AND v.address IS NULL)
FROM _cdc_verdicts_0 AS v;

-- [find causes in customers]
-- What can be told of why: a row that is missing beside a tombstone lost the insert after a delete, one whose item
-- lies in a table that should not have it lost a move, one that nothing is known of never arrived. An extra row whose
-- item the export has for other tables moved away; one of an item it does not have lost its delete. An element that is
-- missing or extra beside others of its item lost the item's update. A row that differs in nothing but columns that were
-- configured since, and in what these take out of _cdc_rescued, had no value of them yet.
CREATE TEMPORARY TABLE _cdc_causes_0 AS
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
LEFT JOIN (SELECT DISTINCT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1 FROM "cdc_merge"."tombstones" AS s WHERE s.source = 'e''commerce') AS d
    ON v.verdict = 'missing' AND d.k0 = v.k0 AND d.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."pk" AS k0, t."sk" AS k1 FROM "analytics"."or""ders'" AS t
) AS o1
    ON v.verdict = 'missing' AND NOT q.takes_1 AND o1.k0 = v.k0 AND o1.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."pk" AS k0, t."sk" AS k1 FROM "analytics"."leads" AS t
) AS o2
    ON v.verdict = 'missing' AND o2.k0 = v.k0 AND o2.k1 = v.k1
LEFT JOIN (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1, s.takes_0 AS takes FROM _cdc_keys AS s WHERE NOT s.removed
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
SELECT count(*) - count(DISTINCT (t."pk", t."sk"))
FROM "analytics"."or""ders'" AS t;

-- [delete copies from or"ders']
-- Without a primary key a row may have been inserted twice by hand: the newest of its key stays.
DELETE FROM "analytics"."or""ders'" AS t
WHERE t.rowid IN (
    SELECT address
    FROM (
        SELECT
            c.rowid AS address,
            row_number() OVER (
                PARTITION BY c."pk", c."sk"
                ORDER BY c._cdc_position DESC, c.rowid
            ) AS place
        FROM "analytics"."or""ders'" AS c
    ) AS ranked
    WHERE place > 1
);

-- [hash the export for or"ders']
-- The export's rows of one target: their keys, and a hash of all else.
CREATE TEMPORARY TABLE _cdc_hashed_1 AS
SELECT *
FROM (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1, s.n, hash(CAST(s.c0 AS BIGINT), CAST(s.c1 AS TIMESTAMP WITH TIME ZONE), CAST(s.c2 AS BOOLEAN), CAST(s.c3 AS BLOB), s.rescued) AS h
    FROM _cdc_keyed_1 AS s
) AS s;

-- [find suspects in or"ders']
-- Nearly all rows are the same, and equal values have equal hashes: so whole rows are looked at only where the hashes
-- differ, and a join of keys and hashes is small enough to stay in memory far longer.
CREATE TEMPORARY TABLE _cdc_suspects_1 AS
SELECT
    s.n,
    t._cdc_row,
    coalesce(t.k0, s.k0) AS k0,
    coalesce(t.k1, s.k1) AS k1,
w.k0 IS NOT NULL AS is_newer
FROM (
    SELECT *
    FROM _cdc_hashed_1 AS s
    WHERE TRUE
) AS s
FULL JOIN (
    SELECT t."pk" AS k0, t."sk" AS k1, t.rowid AS _cdc_row, hash(t."select", t."created_at", t."paid", t."token", CAST(t._cdc_rescued AS VARCHAR)) AS h
    FROM "analytics"."or""ders'" AS t
    WHERE TRUE
) AS t
    ON t.k0 = s.k0 AND t.k1 = s.k1
LEFT JOIN _cdc_newer AS w
    ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    AND (w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL OR t.h <> s.h);

-- [compare or"ders']
-- One target beside the export: the rows that only one of both has.
CREATE TEMPORARY TABLE _cdc_verdicts_1 AS
SELECT
    x.n AS n,
x._cdc_row AS address,
    x.k0 AS k0,
    x.k1 AS k1,
    CASE
        WHEN x.is_newer THEN 'newer'
        WHEN x._cdc_row IS NULL THEN 'missing'
        ELSE 'extra'
    END AS verdict,
    CAST('' AS VARCHAR) AS differing
FROM _cdc_suspects_1 AS x
WHERE x._cdc_row IS NULL OR x.n IS NULL;

-- [find what differs in or"ders']
-- And those that both have, where the hashes differ or the feed knows better.
INSERT INTO _cdc_verdicts_1
SELECT
    x.n AS n,
x._cdc_row AS address,
    x.k0 AS k0,
    x.k1 AS k1,
    CASE WHEN x.is_newer THEN 'newer' ELSE 'different' END AS verdict,
    -- The names of the columns that differ, of a row that both sides have. In pieces: Postgres takes a hundred arguments.
-- https://www.postgresql.org/docs/current/runtime-config-preset.html
concat_ws(
    chr(10)
    , nullif(concat_ws(
        chr(10)
        , CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."select" IS NOT DISTINCT FROM CAST(s.c0 AS BIGINT)) THEN 'select' END
        , CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."created_at" IS NOT DISTINCT FROM CAST(s.c1 AS TIMESTAMP WITH TIME ZONE)) THEN 'created_at' END
        , CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."paid" IS NOT DISTINCT FROM CAST(s.c2 AS BOOLEAN)) THEN 'paid' END
        , CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT (t."token" IS NOT DISTINCT FROM CAST(s.c3 AS BLOB)) THEN 'token' END
        , CASE WHEN x._cdc_row IS NOT NULL AND x.n IS NOT NULL AND NOT CASE WHEN CAST(t._cdc_rescued AS VARCHAR) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE same_rescued(coalesce(CAST(t._cdc_rescued AS VARCHAR), '{}'), coalesce(s.rescued, '{}')) END THEN '_cdc_rescued' END
    ), '')
) AS differing
FROM _cdc_suspects_1 AS x
JOIN "analytics"."or""ders'" AS t ON t.rowid = x._cdc_row
JOIN _cdc_rows_1 AS s ON s.n = x.n
WHERE x.is_newer
    OR NOT (t."select" IS NOT DISTINCT FROM CAST(s.c0 AS BIGINT))
    OR NOT (t."created_at" IS NOT DISTINCT FROM CAST(s.c1 AS TIMESTAMP WITH TIME ZONE))
    OR NOT (t."paid" IS NOT DISTINCT FROM CAST(s.c2 AS BOOLEAN))
    OR NOT (t."token" IS NOT DISTINCT FROM CAST(s.c3 AS BLOB))
    OR NOT CASE WHEN CAST(t._cdc_rescued AS VARCHAR) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE same_rescued(coalesce(CAST(t._cdc_rescued AS VARCHAR), '{}'), coalesce(s.rescued, '{}')) END;

-- [count or"ders']
-- How many of each, with what is needed to see whether a row is there twice.
SELECT
    (SELECT count(*) FROM "analytics"."or""ders'"),
    (SELECT count(*) FROM _cdc_keyed_1),
    count(*) FILTER (WHERE v.verdict = 'missing'),
    count(*) FILTER (WHERE v.verdict = 'extra'),
    count(*) FILTER (WHERE v.verdict = 'different'),
    count(*) FILTER (WHERE v.verdict = 'newer'),
    count(v.address),
    count(v.n),
    -- What meets no row is there once; to tell millions of these apart would take long.
    count(DISTINCT v.n) FILTER (WHERE v.n IS NOT NULL AND v.address IS NOT NULL)
    + count(*) FILTER (WHERE v.n IS NOT NULL AND v.address IS NULL)
FROM _cdc_verdicts_1 AS v;

-- [find causes in or"ders']
-- What can be told of why: a row that is missing beside a tombstone lost the insert after a delete, one whose item
-- lies in a table that should not have it lost a move, one that nothing is known of never arrived. An extra row whose
-- item the export has for other tables moved away; one of an item it does not have lost its delete. An element that is
-- missing or extra beside others of its item lost the item's update. A row that differs in nothing but columns that were
-- configured since, and in what these take out of _cdc_rescued, had no value of them yet.
CREATE TEMPORARY TABLE _cdc_causes_1 AS
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
        WHEN v.verdict = 'different' THEN 'update_lost_or_altered'
        ELSE 'changed_since'
    END AS cause
FROM _cdc_verdicts_1 AS v
LEFT JOIN _cdc_keys AS q ON q.n = v.n
LEFT JOIN (SELECT DISTINCT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1 FROM "cdc_merge"."tombstones" AS s WHERE s.source = 'e''commerce') AS d
    ON v.verdict = 'missing' AND d.k0 = v.k0 AND d.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."pk" AS k0, t."sk" AS k1 FROM "analytics"."customers" AS t
) AS o0
    ON v.verdict = 'missing' AND NOT q.takes_0 AND o0.k0 = v.k0 AND o0.k1 = v.k1
LEFT JOIN (
    SELECT DISTINCT t."pk" AS k0, t."sk" AS k1 FROM "analytics"."leads" AS t
) AS o2
    ON v.verdict = 'missing' AND o2.k0 = v.k0 AND o2.k1 = v.k1;

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

-- [insert into customers]
-- What the export has: the empty position, which every change after the floor outranks, and the floor as its time.
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
    v.k0,
    v.k1,
    CAST(s.c0 AS VARCHAR),
    CAST(s.c1 AS NUMERIC(12, 2)),
    CAST(s.c2 AS JSON),
    CAST(s.c3 AS VARCHAR),
    '', CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST(s.rescued AS JSON)
FROM _cdc_rows_0 AS s
JOIN _cdc_verdicts_0 AS v ON v.n = s.n
WHERE v.verdict IN ('missing', 'different');

-- [delete from customers]
-- Rows the export does not have, or has with other values.
DELETE FROM "analytics"."customers" AS t
WHERE t.rowid IN (
    SELECT v.address
    FROM _cdc_verdicts_0 AS v
    WHERE v.verdict IN ('extra', 'different')
);

-- [raise floor of customers]
-- The target is verified up to here.
UPDATE "cdc_merge"."targets"
SET floor_at = CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE)
WHERE source = 'e''commerce' AND target = 'customers' AND coalesce(floor_at < CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE);

-- [raise floor of or"ders']
-- The target is verified up to here.
UPDATE "cdc_merge"."targets"
SET floor_at = CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE)
WHERE source = 'e''commerce' AND target = 'or"ders''' AND coalesce(floor_at < CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE);

-- [count tombstones]
-- How many tombstones are about to go.
SELECT count(*)
FROM "cdc_merge"."tombstones"
WHERE source = 'e''commerce'
    AND changed_at <= (
        SELECT CASE WHEN count(*) = count(f.floor_at) THEN min(f.floor_at) END
        FROM "cdc_merge"."targets" AS f
        WHERE f.source = 'e''commerce'
    );

-- [collect tombstones]
-- A change as old as a tombstone at or below every floor of the source is stale by the floor alone. While one target
-- has no floor, none can go.
DELETE FROM "cdc_merge"."tombstones"
WHERE source = 'e''commerce'
    AND changed_at <= (
        SELECT CASE WHEN count(*) = count(f.floor_at) THEN min(f.floor_at) END
        FROM "cdc_merge"."targets" AS f
        WHERE f.source = 'e''commerce'
    );

-- [record customers]
-- What one target was like, and what was done.
INSERT INTO "cdc_merge"."reconciliations" (
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
INSERT INTO "cdc_merge"."reconciliations" (
    reconciliation_id, source, target, export, method, as_of, floor_at, items, unusable,
    equal_rows, missing, extra, different, newer, repaired, tombstones_collected,
    details, overridden, worker, started_at, finished_at
)
VALUES (
    '0123456789abcdef', 'e''commerce', 'or"ders''', 's3://lake/AWSDynamoDB/01''', 'export', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), 1009, 1,
    10, 0, 0, 0, 0, 0, 42,
    '{"causes": {}, "columns": {}, "samples": []}', 'customers: it''s forced; or"ders'': it''s forced', 'host:1', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
);

-- [hash the export for customers]
-- The export's rows of one target: their keys, and a hash of all else.
CREATE TEMPORARY TABLE _cdc_hashed_0 AS
-- The hash is made before a join that would carry all columns along, and keys that are not wanted go before it.
SELECT s.k0, s.k1, r.n, r.h
FROM (
    SELECT *
    FROM (SELECT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1, s.n FROM _cdc_keys AS s) AS s
) AS s
LEFT JOIN (
    SELECT s.n, hash(CAST(s.c0 AS VARCHAR), CAST(s.c1 AS NUMERIC(12, 2)), CAST(s.c2 AS JSON), CAST(s.c3 AS VARCHAR), s.rescued) AS h
    FROM _cdc_rows_0 AS s
) AS r ON r.n = s.n;

-- [find suspects in customers]
-- Nearly all rows are the same, and equal values have equal hashes: so whole rows are looked at only where the hashes
-- differ, and a join of keys and hashes is small enough to stay in memory far longer.
CREATE TEMPORARY TABLE _cdc_suspects_0 AS
SELECT
    s.n,
    t._cdc_row,
    coalesce(t.k0, s.k0) AS k0,
    coalesce(t.k1, s.k1) AS k1,
w.k0 IS NOT NULL AS is_newer
FROM (
    SELECT *
    FROM _cdc_hashed_0 AS s
    WHERE TRUE
) AS s
FULL JOIN (
    SELECT t."pk" AS k0, t."sk" AS k1, t._cdc_changed_at, t.rowid AS _cdc_row, hash(t."username", t."spent", t."addresses", t."city", CAST(t._cdc_rescued AS VARCHAR)) AS h
    FROM "analytics"."customers" AS t
    WHERE TRUE
) AS t
    ON t.k0 = s.k0 AND t.k1 = s.k1
LEFT JOIN _cdc_newer AS w
    ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    AND (w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL OR t.h <> s.h)
    -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
    -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    AND (s.k0 IS NOT NULL OR (t._cdc_changed_at > NULL AND w.k0 IS NULL));

-- [hash the export for or"ders']
-- The export's rows of one target: their keys, and a hash of all else.
CREATE TEMPORARY TABLE _cdc_hashed_1 AS
-- The hash is made before a join that would carry all columns along, and keys that are not wanted go before it.
SELECT s.k0, s.k1, r.n, r.h
FROM (
    SELECT *
    FROM (SELECT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1, s.n FROM _cdc_keys AS s) AS s
) AS s
LEFT JOIN (
    SELECT s.n, hash(CAST(s.c0 AS BIGINT), CAST(s.c1 AS TIMESTAMP WITH TIME ZONE), CAST(s.c2 AS BOOLEAN), CAST(s.c3 AS BLOB), s.rescued) AS h
    FROM _cdc_rows_1 AS s
) AS r ON r.n = s.n;

-- [find suspects in or"ders']
-- Nearly all rows are the same, and equal values have equal hashes: so whole rows are looked at only where the hashes
-- differ, and a join of keys and hashes is small enough to stay in memory far longer.
CREATE TEMPORARY TABLE _cdc_suspects_1 AS
SELECT
    s.n,
    t._cdc_row,
    coalesce(t.k0, s.k0) AS k0,
    coalesce(t.k1, s.k1) AS k1,
w.k0 IS NOT NULL AS is_newer
FROM (
    SELECT *
    FROM _cdc_hashed_1 AS s
    WHERE TRUE
) AS s
FULL JOIN (
    SELECT t."pk" AS k0, t."sk" AS k1, t._cdc_changed_at, t.rowid AS _cdc_row, hash(t."select", t."created_at", t."paid", t."token", CAST(t._cdc_rescued AS VARCHAR)) AS h
    FROM "analytics"."or""ders'" AS t
    WHERE TRUE
) AS t
    ON t.k0 = s.k0 AND t.k1 = s.k1
LEFT JOIN _cdc_newer AS w
    ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    AND (w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL OR t.h <> s.h)
    -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
    -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    AND (s.k0 IS NOT NULL OR (t._cdc_changed_at > CAST('2026-01-01 00:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE) AND w.k0 IS NULL));

-- [sum up customers]
-- How many rows each bucket of keys has in the table, and what the hashes of whole rows come to.
CREATE TEMPORARY TABLE _cdc_here_0 AS
SELECT
    hash(t."pk", t."sk") % 375000 AS bucket,
    count(*) AS rows,
    sum(hash(hash(t."pk", t."sk", hash(t."username", t."spent", t."addresses", t."city", CAST(t._cdc_rescued AS VARCHAR))))) AS total
FROM "analytics"."customers" AS t
GROUP BY bucket;

-- [count buckets of customers]
SELECT count(*) FROM _cdc_here_0;

-- [sum up the export for customers]
-- The same of the export.
CREATE TEMPORARY TABLE _cdc_exported_0 AS
SELECT
    hash(s.k0, s.k1) % 375000 AS bucket,
    count(*) AS rows,
    sum(hash(hash(s.k0, s.k1, s.h))) AS total
FROM (
SELECT *
FROM (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1, s.n, hash(CAST(s.c0 AS VARCHAR), CAST(s.c1 AS NUMERIC(12, 2)), CAST(s.c2 AS JSON), CAST(s.c3 AS VARCHAR), s.rescued) AS h
    FROM _cdc_keyed_0 AS s
) AS s
) AS s
GROUP BY bucket;

-- [find buckets of customers]
-- The buckets that are not the same on both sides, or have keys that the feed knows better: only their rows are compared.
CREATE TEMPORARY TABLE _cdc_buckets_0 AS
SELECT
    coalesce(s.bucket, t.bucket) AS bucket,
    -- The smaller side is the one that a join holds in memory.
    least(coalesce(s.rows, 0), coalesce(t.rows, 0)) AS rows
FROM _cdc_exported_0 AS s
FULL JOIN _cdc_here_0 AS t ON t.bucket = s.bucket
WHERE s.rows IS DISTINCT FROM t.rows
    OR s.total IS DISTINCT FROM t.total
    OR coalesce(s.bucket, t.bucket) IN (SELECT hash(w.k0, w.k1) % 375000 FROM _cdc_newer AS w);

-- [count rows in buckets of customers]
SELECT coalesce(sum(rows), 0) FROM _cdc_buckets_0;

-- [hash the export for customers]
-- The export's rows of one target in the buckets that differ: their keys, and a hash of all else.
CREATE TEMPORARY TABLE _cdc_hashed_0 AS
SELECT *
FROM (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1, s.n, hash(CAST(s.c0 AS VARCHAR), CAST(s.c1 AS NUMERIC(12, 2)), CAST(s.c2 AS JSON), CAST(s.c3 AS VARCHAR), s.rescued) AS h
    FROM _cdc_keyed_0 AS s
) AS s
WHERE hash(s.k0, s.k1) % 375000 IN (SELECT b.bucket FROM _cdc_buckets_0 AS b);

-- [find suspects in customers]
-- Nearly all rows are the same, and equal values have equal hashes: so whole rows are looked at only where the hashes
-- differ, and a join of keys and hashes is small enough to stay in memory far longer.
CREATE TEMPORARY TABLE _cdc_suspects_0 AS
SELECT
    s.n,
    t._cdc_row,
    coalesce(t.k0, s.k0) AS k0,
    coalesce(t.k1, s.k1) AS k1,
w.k0 IS NOT NULL AS is_newer
FROM (
    SELECT *
    FROM _cdc_hashed_0 AS s
    WHERE TRUE
        AND hash(s.k0, s.k1) % 2 = 0
        -- They are all of these; but DuckDB reckons that a condition leaves a fifth, and must do so on both sides to hold
        -- the smaller one in memory.
        AND hash(s.k0, s.k1) % 375000 IN (SELECT b.bucket FROM _cdc_buckets_0 AS b)
) AS s
FULL JOIN (
    SELECT t."pk" AS k0, t."sk" AS k1, t.rowid AS _cdc_row, hash(t."username", t."spent", t."addresses", t."city", CAST(t._cdc_rescued AS VARCHAR)) AS h
    FROM "analytics"."customers" AS t
    WHERE TRUE
        AND hash(t."pk", t."sk") % 2 = 0
        AND hash(t."pk", t."sk") % 375000 IN (SELECT b.bucket FROM _cdc_buckets_0 AS b)
) AS t
    ON t.k0 = s.k0 AND t.k1 = s.k1
LEFT JOIN _cdc_newer AS w
    ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    AND (w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL OR t.h <> s.h);

-- [find suspects in customers]
-- Nearly all rows are the same, and equal values have equal hashes: so whole rows are looked at only where the hashes
-- differ, and a join of keys and hashes is small enough to stay in memory far longer.
INSERT INTO _cdc_suspects_0
SELECT
    s.n,
    t._cdc_row,
    coalesce(t.k0, s.k0) AS k0,
    coalesce(t.k1, s.k1) AS k1,
w.k0 IS NOT NULL AS is_newer
FROM (
    SELECT *
    FROM _cdc_hashed_0 AS s
    WHERE TRUE
        AND hash(s.k0, s.k1) % 2 = 1
        -- They are all of these; but DuckDB reckons that a condition leaves a fifth, and must do so on both sides to hold
        -- the smaller one in memory.
        AND hash(s.k0, s.k1) % 375000 IN (SELECT b.bucket FROM _cdc_buckets_0 AS b)
) AS s
FULL JOIN (
    SELECT t."pk" AS k0, t."sk" AS k1, t.rowid AS _cdc_row, hash(t."username", t."spent", t."addresses", t."city", CAST(t._cdc_rescued AS VARCHAR)) AS h
    FROM "analytics"."customers" AS t
    WHERE TRUE
        AND hash(t."pk", t."sk") % 2 = 1
        AND hash(t."pk", t."sk") % 375000 IN (SELECT b.bucket FROM _cdc_buckets_0 AS b)
) AS t
    ON t.k0 = s.k0 AND t.k1 = s.k1
LEFT JOIN _cdc_newer AS w
    ON w.k0 = coalesce(t.k0, s.k0) AND w.k1 = coalesce(t.k1, s.k1)
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    AND (w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL OR t.h <> s.h);

-- [sum up or"ders']
-- How many rows each bucket of keys has in the table, and what the hashes of whole rows come to.
CREATE TEMPORARY TABLE _cdc_here_1 AS
SELECT
    hash(t."pk", t."sk") % 375000 AS bucket,
    count(*) AS rows,
    sum(hash(hash(t."pk", t."sk", hash(t."select", t."created_at", t."paid", t."token", CAST(t._cdc_rescued AS VARCHAR))))) AS total
FROM "analytics"."or""ders'" AS t
GROUP BY bucket;

-- [count buckets of or"ders']
SELECT count(*) FROM _cdc_here_1;

-- [compare or"ders']
-- There is nothing to compare the export with: all that it has is missing, but for keys that the feed knows better.
CREATE TEMPORARY TABLE _cdc_verdicts_1 AS
SELECT
    s.n AS n,
    CAST(NULL AS BIGINT) AS address,
    s.k0 AS k0,
    s.k1 AS k1,
    CASE WHEN w.k0 IS NOT NULL THEN 'newer' ELSE 'missing' END AS verdict,
    CAST('' AS VARCHAR) AS differing
FROM (
    SELECT s.partition_key AS k0, CAST(s.sort_key AS DECIMAL(38, 18)) AS k1, s.n
    FROM _cdc_keyed_1 AS s
) AS s
LEFT JOIN _cdc_newer AS w
    ON w.k0 = s.k0 AND w.k1 = s.k1;

-- [insert into or"ders']
-- What the export has, but for items that changed since: the empty position, and the floor as its time.
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
    s.k0,
    s.k1,
    CAST(s.c0 AS BIGINT),
    CAST(s.c1 AS TIMESTAMP WITH TIME ZONE),
    CAST(s.c2 AS BOOLEAN),
    CAST(s.c3 AS BLOB),
    '', CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST(s.rescued AS JSON)
FROM (
    SELECT
        s.partition_key AS k0,
        CAST(s.sort_key AS DECIMAL(38, 18)) AS k1,
        s.*
    FROM _cdc_keyed_1 AS s
) AS s
LEFT JOIN _cdc_verdicts_1 AS v ON v.n = s.n AND v.verdict = 'newer'
WHERE v.n IS NULL;

-- [record or"ders']
-- What one target was like, and what was done.
INSERT INTO "cdc_merge"."reconciliations" (
    reconciliation_id, source, target, export, method, as_of, floor_at, items, unusable,
    equal_rows, missing, extra, different, newer, repaired, tombstones_collected,
    details, overridden, worker, started_at, finished_at
)
VALUES (
    '0123456789abcdef', 'e''commerce', 'or"ders''', 's3://lake/AWSDynamoDB/01''', 'export', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), 1009, 1,
    0, 10, 0, 0, 0, 10, 42,
    '{"causes": {}, "columns": {}, "samples": []}', 'customers: it''s forced; or"ders'': it''s forced', 'host:1', CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE)
);

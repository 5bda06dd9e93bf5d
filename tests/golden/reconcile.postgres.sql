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
    SELECT s.partition_key AS k0, CAST(s.sort_key AS numeric) AS k1
    FROM "cdc_merge"."tombstones" AS s
    WHERE s.source = 'e''commerce' AND coalesce(s.changed_at > CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), TRUE)
) AS changed;

-- [analyze _cdc_newer]
ANALYZE _cdc_newer;

-- [compare customers]
-- One target beside the export: every row that is not the same in both, by its key.
CREATE TEMPORARY TABLE _cdc_verdicts_0 AS
SELECT
    s.n AS n,
t._cdc_row AS address,
    coalesce(t."pk", s.k0) AS k0,
    coalesce(t."sk", s.k1) AS k1,
    CASE
        WHEN w.k0 IS NOT NULL THEN 'newer'
        WHEN t._cdc_row IS NULL THEN 'missing'
        WHEN s.n IS NULL THEN 'extra'
        ELSE 'different'
    END AS verdict,
    -- The names of the columns that differ, of a row that both sides have. In pieces: Postgres takes a hundred arguments.
-- https://www.postgresql.org/docs/current/runtime-config-preset.html
concat_ws(
    chr(10)
    , nullif(concat_ws(
        chr(10)
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."username" IS NOT DISTINCT FROM CAST(s.c0 AS text)) THEN 'username' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."spent" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2))) THEN 'spent' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."addresses" IS NOT DISTINCT FROM CAST(s.c2 AS jsonb)) THEN 'addresses' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."city" IS NOT DISTINCT FROM CAST(s.c3 AS text)) THEN 'city' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT CASE WHEN CAST(t._cdc_rescued AS text) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(CAST(t._cdc_rescued AS text), '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') = coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(s.rescued, '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') END THEN '_cdc_rescued' END
    ), '')
) AS differing
FROM (
    SELECT
        s.partition_key AS k0,
        CAST(s.sort_key AS numeric) AS k1,
        r.*
    FROM _cdc_keys AS s
JOIN _cdc_rows_0 AS r ON r.n = s.n
) AS s
FULL JOIN (SELECT t.ctid AS _cdc_row, t.* FROM "analytics"."customers" AS t) AS t
    ON t."pk" = s.k0
    AND t."sk" = s.k1
LEFT JOIN _cdc_newer AS w
    ON w.k0 = coalesce(t."pk", s.k0)
    AND w.k1 = coalesce(t."sk", s.k1)
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    AND (
        w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL
        OR NOT (t."username" IS NOT DISTINCT FROM CAST(s.c0 AS text))
        OR NOT (t."spent" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2)))
        OR NOT (t."addresses" IS NOT DISTINCT FROM CAST(s.c2 AS jsonb))
        OR NOT (t."city" IS NOT DISTINCT FROM CAST(s.c3 AS text))
        OR NOT CASE WHEN CAST(t._cdc_rescued AS text) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(CAST(t._cdc_rescued AS text), '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') = coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(s.rescued, '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') END
    );

-- [analyze _cdc_verdicts_0]
ANALYZE _cdc_verdicts_0;

-- [count customers]
-- How many of each, with what is needed to see whether a row is there twice.
SELECT
    (SELECT count(*) FROM "analytics"."customers"),
    (SELECT count(*) FROM _cdc_keys AS s JOIN _cdc_rows_0 AS r ON r.n = s.n),
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
LEFT JOIN (SELECT DISTINCT s.partition_key AS k0, CAST(s.sort_key AS numeric) AS k1 FROM "cdc_merge"."tombstones" AS s WHERE s.source = 'e''commerce') AS d
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
    SELECT s.partition_key AS k0, CAST(s.sort_key AS numeric) AS k1, s.takes_0 AS takes FROM _cdc_keys AS s WHERE NOT s.removed
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
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS text) AS k0, CAST(c.k1 AS text) AS k1
    FROM _cdc_causes_0 AS c
    WHERE c.verdict = 'different'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_0
UNION ALL
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS text) AS k0, CAST(c.k1 AS text) AS k1
    FROM _cdc_causes_0 AS c
    WHERE c.verdict = 'extra'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_1
UNION ALL
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS text) AS k0, CAST(c.k1 AS text) AS k1
    FROM _cdc_causes_0 AS c
    WHERE c.verdict = 'missing'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_2;

-- [compare or"ders']
-- One target beside the export: every row that is not the same in both, by its key.
CREATE TEMPORARY TABLE _cdc_verdicts_1 AS
SELECT
    s.n AS n,
t._cdc_row AS address,
    coalesce(t."pk", s.k0) AS k0,
    coalesce(t."sk", s.k1) AS k1,
    CASE
        WHEN w.k0 IS NOT NULL THEN 'newer'
        WHEN t._cdc_row IS NULL THEN 'missing'
        WHEN s.n IS NULL THEN 'extra'
        ELSE 'different'
    END AS verdict,
    -- The names of the columns that differ, of a row that both sides have. In pieces: Postgres takes a hundred arguments.
-- https://www.postgresql.org/docs/current/runtime-config-preset.html
concat_ws(
    chr(10)
    , nullif(concat_ws(
        chr(10)
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."select" IS NOT DISTINCT FROM CAST(s.c0 AS bigint)) THEN 'select' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."created_at" IS NOT DISTINCT FROM CAST(s.c1 AS timestamp with time zone)) THEN 'created_at' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."paid" IS NOT DISTINCT FROM CAST(s.c2 AS boolean)) THEN 'paid' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."token" IS NOT DISTINCT FROM CAST(s.c3 AS bytea)) THEN 'token' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT CASE WHEN CAST(t._cdc_rescued AS text) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(CAST(t._cdc_rescued AS text), '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') = coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(s.rescued, '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') END THEN '_cdc_rescued' END
    ), '')
) AS differing
FROM (
    SELECT
        s.partition_key AS k0,
        CAST(s.sort_key AS numeric) AS k1,
        r.*
    FROM _cdc_keys AS s
JOIN _cdc_rows_1 AS r ON r.n = s.n
) AS s
FULL JOIN (SELECT t.ctid AS _cdc_row, t.* FROM "analytics"."or""ders'" AS t) AS t
    ON t."pk" = s.k0
    AND t."sk" = s.k1
LEFT JOIN _cdc_newer AS w
    ON w.k0 = coalesce(t."pk", s.k0)
    AND w.k1 = coalesce(t."sk", s.k1)
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    AND (
        w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL
        OR NOT (t."select" IS NOT DISTINCT FROM CAST(s.c0 AS bigint))
        OR NOT (t."created_at" IS NOT DISTINCT FROM CAST(s.c1 AS timestamp with time zone))
        OR NOT (t."paid" IS NOT DISTINCT FROM CAST(s.c2 AS boolean))
        OR NOT (t."token" IS NOT DISTINCT FROM CAST(s.c3 AS bytea))
        OR NOT CASE WHEN CAST(t._cdc_rescued AS text) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(CAST(t._cdc_rescued AS text), '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') = coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(s.rescued, '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') END
    );

-- [analyze _cdc_verdicts_1]
ANALYZE _cdc_verdicts_1;

-- [count or"ders']
-- How many of each, with what is needed to see whether a row is there twice.
SELECT
    (SELECT count(*) FROM "analytics"."or""ders'"),
    (SELECT count(*) FROM _cdc_keys AS s JOIN _cdc_rows_1 AS r ON r.n = s.n),
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
LEFT JOIN (SELECT DISTINCT s.partition_key AS k0, CAST(s.sort_key AS numeric) AS k1 FROM "cdc_merge"."tombstones" AS s WHERE s.source = 'e''commerce') AS d
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
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS text) AS k0, CAST(c.k1 AS text) AS k1
    FROM _cdc_causes_1 AS c
    WHERE c.verdict = 'different'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_0
UNION ALL
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS text) AS k0, CAST(c.k1 AS text) AS k1
    FROM _cdc_causes_1 AS c
    WHERE c.verdict = 'extra'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_1
UNION ALL
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing, CAST(c.k0 AS text) AS k0, CAST(c.k1 AS text) AS k1
    FROM _cdc_causes_1 AS c
    WHERE c.verdict = 'missing'
    ORDER BY c.k0, c.k1
    LIMIT 10
) AS few_2;

-- [delete from customers]
-- Rows the export does not have, or has with other values.
DELETE FROM "analytics"."customers" AS t
WHERE t.ctid = ANY (ARRAY(
    SELECT v.address
    FROM _cdc_verdicts_0 AS v
    WHERE v.verdict IN ('extra', 'different')
));

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
    CAST(s.c0 AS text),
    CAST(s.c1 AS NUMERIC(12, 2)),
    CAST(s.c2 AS jsonb),
    CAST(s.c3 AS text),
    '', CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST(s.rescued AS json)
FROM _cdc_rows_0 AS s
JOIN _cdc_verdicts_0 AS v ON v.n = s.n
WHERE v.verdict IN ('missing', 'different')
ORDER BY v.k0, v.k1;

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

-- [compare customers]
-- One target beside the export: every row that is not the same in both, by its key.
CREATE TEMPORARY TABLE _cdc_verdicts_0 AS
SELECT
    s.n AS n,
t._cdc_row AS address,
    coalesce(t."pk", s.k0) AS k0,
    coalesce(t."sk", s.k1) AS k1,
    CASE
        WHEN w.k0 IS NOT NULL THEN 'newer'
        WHEN t._cdc_row IS NULL THEN 'missing'
        WHEN s.n IS NULL THEN 'extra'
        ELSE 'different'
    END AS verdict,
    -- The names of the columns that differ, of a row that both sides have. In pieces: Postgres takes a hundred arguments.
-- https://www.postgresql.org/docs/current/runtime-config-preset.html
concat_ws(
    chr(10)
    , nullif(concat_ws(
        chr(10)
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."username" IS NOT DISTINCT FROM CAST(s.c0 AS text)) THEN 'username' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."spent" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2))) THEN 'spent' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."addresses" IS NOT DISTINCT FROM CAST(s.c2 AS jsonb)) THEN 'addresses' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."city" IS NOT DISTINCT FROM CAST(s.c3 AS text)) THEN 'city' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT CASE WHEN CAST(t._cdc_rescued AS text) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(CAST(t._cdc_rescued AS text), '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') = coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(s.rescued, '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') END THEN '_cdc_rescued' END
    ), '')
) AS differing
FROM (
    SELECT
        s.partition_key AS k0,
        CAST(s.sort_key AS numeric) AS k1,
        r.*
    FROM _cdc_keys AS s
LEFT JOIN _cdc_rows_0 AS r ON r.n = s.n
) AS s
FULL JOIN (SELECT t.ctid AS _cdc_row, t.* FROM "analytics"."customers" AS t) AS t
    ON t."pk" = s.k0
    AND t."sk" = s.k1
LEFT JOIN _cdc_newer AS w
    ON w.k0 = coalesce(t."pk", s.k0)
    AND w.k1 = coalesce(t."sk", s.k1)
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
    -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    AND (s.k0 IS NOT NULL OR (t._cdc_changed_at > NULL AND w.k0 IS NULL))
    AND (
        w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL
        OR NOT (t."username" IS NOT DISTINCT FROM CAST(s.c0 AS text))
        OR NOT (t."spent" IS NOT DISTINCT FROM CAST(s.c1 AS NUMERIC(12, 2)))
        OR NOT (t."addresses" IS NOT DISTINCT FROM CAST(s.c2 AS jsonb))
        OR NOT (t."city" IS NOT DISTINCT FROM CAST(s.c3 AS text))
        OR NOT CASE WHEN CAST(t._cdc_rescued AS text) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(CAST(t._cdc_rescued AS text), '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') = coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(s.rescued, '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') END
    );

-- [compare or"ders']
-- One target beside the export: every row that is not the same in both, by its key.
CREATE TEMPORARY TABLE _cdc_verdicts_1 AS
SELECT
    s.n AS n,
t._cdc_row AS address,
    coalesce(t."pk", s.k0) AS k0,
    coalesce(t."sk", s.k1) AS k1,
    CASE
        WHEN w.k0 IS NOT NULL THEN 'newer'
        WHEN t._cdc_row IS NULL THEN 'missing'
        WHEN s.n IS NULL THEN 'extra'
        ELSE 'different'
    END AS verdict,
    -- The names of the columns that differ, of a row that both sides have. In pieces: Postgres takes a hundred arguments.
-- https://www.postgresql.org/docs/current/runtime-config-preset.html
concat_ws(
    chr(10)
    , nullif(concat_ws(
        chr(10)
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."select" IS NOT DISTINCT FROM CAST(s.c0 AS bigint)) THEN 'select' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."created_at" IS NOT DISTINCT FROM CAST(s.c1 AS timestamp with time zone)) THEN 'created_at' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."paid" IS NOT DISTINCT FROM CAST(s.c2 AS boolean)) THEN 'paid' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT (t."token" IS NOT DISTINCT FROM CAST(s.c3 AS bytea)) THEN 'token' END
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT CASE WHEN CAST(t._cdc_rescued AS text) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(CAST(t._cdc_rescued AS text), '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') = coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(s.rescued, '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') END THEN '_cdc_rescued' END
    ), '')
) AS differing
FROM (
    SELECT
        s.partition_key AS k0,
        CAST(s.sort_key AS numeric) AS k1,
        r.*
    FROM _cdc_keys AS s
LEFT JOIN _cdc_rows_1 AS r ON r.n = s.n
) AS s
FULL JOIN (SELECT t.ctid AS _cdc_row, t.* FROM "analytics"."or""ders'" AS t) AS t
    ON t."pk" = s.k0
    AND t."sk" = s.k1
LEFT JOIN _cdc_newer AS w
    ON w.k0 = coalesce(t."pk", s.k0)
    AND w.k1 = coalesce(t."sk", s.k1)
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
    -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    AND (s.k0 IS NOT NULL OR (t._cdc_changed_at > CAST('2026-01-01 00:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE) AND w.k0 IS NULL))
    AND (
        w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL
        OR NOT (t."select" IS NOT DISTINCT FROM CAST(s.c0 AS bigint))
        OR NOT (t."created_at" IS NOT DISTINCT FROM CAST(s.c1 AS timestamp with time zone))
        OR NOT (t."paid" IS NOT DISTINCT FROM CAST(s.c2 AS boolean))
        OR NOT (t."token" IS NOT DISTINCT FROM CAST(s.c3 AS bytea))
        OR NOT CASE WHEN CAST(t._cdc_rescued AS text) IS NOT DISTINCT FROM s.rescued THEN TRUE ELSE coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(CAST(t._cdc_rescued AS text), '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') = coalesce((SELECT string_agg(concat(to_json(e.key), e.value), chr(10) ORDER BY e.key COLLATE "C") FROM json_each(CAST(replace(replace(s.rescued, '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS e WHERE CAST(e.value AS text) <> '{"NULL":true}'), '') END
    );

-- [insert into or"ders']
-- What the export has: the empty position, which every change after the floor outranks, and the floor as its time.
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
    v.k0,
    v.k1,
    CAST(s.c0 AS bigint),
    CAST(s.c1 AS timestamp with time zone),
    CAST(s.c2 AS boolean),
    CAST(s.c3 AS bytea),
    '', CAST('2026-01-02 03:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE), CAST('2026-01-02 03:04:05.678900+00:00' AS TIMESTAMP WITH TIME ZONE), CAST(s.rescued AS json)
FROM _cdc_rows_1 AS s
JOIN _cdc_verdicts_1 AS v ON v.n = s.n
WHERE v.verdict IN ('missing', 'different')
ORDER BY v.k0, v.k1;

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

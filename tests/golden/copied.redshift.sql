-- [mark what is in doubt]
-- What was copied, by numbers that no other staged row has, with what of it is in doubt: a value that may not be what
-- the item has, a key that the table cannot hold, and a row that has what a copy cannot tell.
CREATE TEMPORARY TABLE _cdc_copied AS
SELECT
    -1 * ROW_NUMBER() OVER (ORDER BY r."a0", r."a1") AS n,
    r."a0",
    r."a1",
    r."a2",
    r."a3",
    r."a4",
    r."a5",
    r."a6",
    r."a7",
    r."a8",
    r."a9",
    r.takes_0,
    r.takes_1,
    CASE
        WHEN h.k0 IS NOT NULL THEN TRUE
        WHEN NOT ((r.a0 IS NOT NULL AND OCTET_LENGTH(r.a0) = OCTET_LENGTH(RTRIM(r.a0)))) THEN TRUE
        WHEN NOT (((r.a1 ~ '^-?(0|[1-9][0-9]{0,19})([.][0-9]{0,17}[1-9])?$' AND STRPOS(r.a1, chr(10)) = 0) AND r.a1 <> '-0')) THEN TRUE
        WHEN (TRUE AND ((CASE WHEN r.a7 IS NULL THEN 'it''s' IS NULL ELSE coalesce(r.a7 = 'it''s' AND octet_length(r.a7) = octet_length('it''s'), FALSE) END)) AND coalesce(STRPOS(r.a1, 'A#') = 1, FALSE)) AND r.a8 IS NULL THEN TRUE
        WHEN r.takes_0 AND r.a2 IS NULL THEN TRUE
        WHEN r.takes_0 AND NOT ((r.a2 IS NULL OR (r.a2 ~ '^-?(0|[1-9][0-9]{0,17})$' AND STRPOS(r.a2, chr(10)) = 0))) THEN TRUE
        WHEN r.takes_0 AND r.a3 IS NULL THEN TRUE
        WHEN r.takes_0 AND NOT ((r.a3 IS NULL OR ((r.a3 ~ '^-?(0|[1-9][0-9]{0,14})([.][0-9]+)?$' AND STRPOS(r.a3, chr(10)) = 0) AND LENGTH(REPLACE(REPLACE(r.a3, '-', ''), '.', '')) <= 15))) THEN TRUE
        WHEN r.takes_0 AND r.a4 IS NULL THEN TRUE
        WHEN r.takes_0 AND NOT ((r.a4 IS NULL OR (r.a4 ~ '^([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)$' AND STRPOS(r.a4, chr(10)) = 0))) THEN TRUE
        WHEN r.takes_0 AND r.a5 IS NULL THEN TRUE
        WHEN r.takes_0 AND NOT ((r.a5 IS NULL OR ((r.a5 ~ '^(0|[1-9][0-9]{0,10})$' AND STRPOS(r.a5, chr(10)) = 0) OR ((r.a5 ~ '^([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29|([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z?)$' AND STRPOS(r.a5, chr(10)) = 0) OR ((r.a5 ~ '^([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?[+-](0[0-9]|1[0-4]):[0-5][0-9]$' AND STRPOS(r.a5, chr(10)) = 0) AND SUBSTRING(r.a5, 1, 4) <> '9999'))))) THEN TRUE
        WHEN r.takes_0 AND r.a6 IS NULL THEN TRUE
        WHEN r.takes_0 AND NOT ((r.a6 IS NULL OR (r.a6 ~ '^-?(0|[1-9][0-9]{0,9})([.][0-9]{1,2})?$' AND STRPOS(r.a6, chr(10)) = 0))) THEN TRUE
        WHEN r.takes_1 AND r.a9 IS NULL THEN TRUE
        ELSE FALSE
    END AS in_doubt
FROM (
    SELECT
        c."a0",
        c."a1",
        c."a2",
        c."a3",
        c."a4",
        c."a5",
        c."a6",
        c."a7",
        c."a8",
        c."a9",
        CASE WHEN (((CASE WHEN c.a7 IS NULL THEN 'it''s' IS NULL ELSE coalesce(c.a7 = 'it''s' AND octet_length(c.a7) = octet_length('it''s'), FALSE) END))) AND (c.a8 IS NOT NULL) AND (coalesce(STRPOS(c.a1, 'A#') = 1, FALSE)) THEN TRUE ELSE FALSE END AS takes_0,
        CASE WHEN TRUE THEN TRUE ELSE FALSE END AS takes_1
    FROM (
        SELECT
            d."PK" AS "a0",
            d."SK" AS "a1",
            d."integer" AS "a2",
            d."double" AS "a3",
            d."date" AS "a4",
            d."timestamp" AS "a5",
            d."To""tal'" AS "a6",
            d."Type" AS "a7",
            d."Vip" AS "a8",
            d."Name" AS "a9"
        FROM _cdc_dynamodb AS d
    ) AS c
) AS r
LEFT JOIN (
    SELECT DISTINCT k0, k1
    FROM (
        SELECT t."pk" AS k0, t."sk" AS k1
        FROM "analytics"."names" AS t
        WHERE t._cdc_rescued IS NOT NULL
            OR octet_length(t."name") = 0
    ) AS known
) AS h
    ON h.k0 = r.a0 AND h.k1 = CASE WHEN ((r.a1 ~ '^-?(0|[1-9][0-9]{0,19})([.][0-9]{0,17}[1-9])?$' AND STRPOS(r.a1, chr(10)) = 0) AND r.a1 <> '-0') THEN CAST(r.a1 AS DECIMAL(38, 18)) END;

-- [drop what was copied]
DROP TABLE _cdc_dynamodb;

-- [count]
-- How many items were copied, how many of them are in doubt, and how many keys came more than once.
SELECT
    count(*),
    count(CASE WHEN r.in_doubt THEN 1 END),
    (
        SELECT count(*)
        FROM (
            SELECT t."a0", t."a1"
            FROM _cdc_copied AS t
            WHERE NOT t.in_doubt
            GROUP BY t."a0", t."a1"
            HAVING count(*) > 1
        ) AS twice
    )
FROM _cdc_copied AS r;

-- [count reasons]
-- For each reason how many items are in doubt.
SELECT
    count(CASE WHEN NOT ((r.a0 IS NOT NULL AND OCTET_LENGTH(r.a0) = OCTET_LENGTH(RTRIM(r.a0)))) THEN 1 END),
    count(CASE WHEN NOT (((r.a1 ~ '^-?(0|[1-9][0-9]{0,19})([.][0-9]{0,17}[1-9])?$' AND STRPOS(r.a1, chr(10)) = 0) AND r.a1 <> '-0')) THEN 1 END),
    count(CASE WHEN (TRUE AND ((CASE WHEN r.a7 IS NULL THEN 'it''s' IS NULL ELSE coalesce(r.a7 = 'it''s' AND octet_length(r.a7) = octet_length('it''s'), FALSE) END)) AND coalesce(STRPOS(r.a1, 'A#') = 1, FALSE)) AND r.a8 IS NULL THEN 1 END),
    count(CASE WHEN r.takes_0 AND r.a2 IS NULL THEN 1 END),
    count(CASE WHEN r.takes_0 AND NOT ((r.a2 IS NULL OR (r.a2 ~ '^-?(0|[1-9][0-9]{0,17})$' AND STRPOS(r.a2, chr(10)) = 0))) THEN 1 END),
    count(CASE WHEN r.takes_0 AND r.a3 IS NULL THEN 1 END),
    count(CASE WHEN r.takes_0 AND NOT ((r.a3 IS NULL OR ((r.a3 ~ '^-?(0|[1-9][0-9]{0,14})([.][0-9]+)?$' AND STRPOS(r.a3, chr(10)) = 0) AND LENGTH(REPLACE(REPLACE(r.a3, '-', ''), '.', '')) <= 15))) THEN 1 END),
    count(CASE WHEN r.takes_0 AND r.a4 IS NULL THEN 1 END),
    count(CASE WHEN r.takes_0 AND NOT ((r.a4 IS NULL OR (r.a4 ~ '^([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)$' AND STRPOS(r.a4, chr(10)) = 0))) THEN 1 END),
    count(CASE WHEN r.takes_0 AND r.a5 IS NULL THEN 1 END),
    count(CASE WHEN r.takes_0 AND NOT ((r.a5 IS NULL OR ((r.a5 ~ '^(0|[1-9][0-9]{0,10})$' AND STRPOS(r.a5, chr(10)) = 0) OR ((r.a5 ~ '^([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29|([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z?)$' AND STRPOS(r.a5, chr(10)) = 0) OR ((r.a5 ~ '^([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?[+-](0[0-9]|1[0-4]):[0-5][0-9]$' AND STRPOS(r.a5, chr(10)) = 0) AND SUBSTRING(r.a5, 1, 4) <> '9999'))))) THEN 1 END),
    count(CASE WHEN r.takes_0 AND r.a6 IS NULL THEN 1 END),
    count(CASE WHEN r.takes_0 AND NOT ((r.a6 IS NULL OR (r.a6 ~ '^-?(0|[1-9][0-9]{0,9})([.][0-9]{1,2})?$' AND STRPOS(r.a6, chr(10)) = 0))) THEN 1 END),
    count(CASE WHEN r.takes_1 AND r.a9 IS NULL THEN 1 END)
FROM _cdc_copied AS r;

-- [read keys in doubt]
-- The keys of items that are in doubt.
SELECT r."a0", r."a1"
FROM _cdc_copied AS r
WHERE r.in_doubt;

-- [stage copied keys]
-- The keys of what was copied and is not in doubt, beside those of the items that the worker has read.
INSERT INTO _cdc_keys (n, partition_key, sort_key, "position", removed, could, takes_0, takes_1)
SELECT r.n, r."a0", r."a1", '', FALSE, TRUE, r.takes_0, r.takes_1
FROM _cdc_copied AS r
WHERE NOT r.in_doubt;

-- [stage copied rows 0]
-- The rows of one target. What no column holds was not copied, so there is nothing to rescue.
INSERT INTO _cdc_rows_0 (n, "c0", "c1", "c2", "c3", "c4")
SELECT
    r.n,
    CASE WHEN (r.a2 ~ '^-?(0|[1-9][0-9]{0,17})$' AND STRPOS(r.a2, chr(10)) = 0) THEN CAST(r.a2 AS BIGINT) END,
    CASE WHEN ((r.a3 ~ '^-?(0|[1-9][0-9]{0,14})([.][0-9]+)?$' AND STRPOS(r.a3, chr(10)) = 0) AND LENGTH(REPLACE(REPLACE(r.a3, '-', ''), '.', '')) <= 15) THEN CAST(r.a3 AS DOUBLE PRECISION) END,
    CASE WHEN (r.a4 ~ '^([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)$' AND STRPOS(r.a4, chr(10)) = 0) THEN CAST(r.a4 AS DATE) END,
    CAST(CASE WHEN (r.a5 ~ '^(0|[1-9][0-9]{0,10})$' AND STRPOS(r.a5, chr(10)) = 0) THEN DATEADD(second, CAST(CAST(r.a5 AS BIGINT) / 1 % 86400 AS INTEGER), DATEADD(day, CAST(CAST(r.a5 AS BIGINT) / 86400 AS INTEGER), CAST('1970-01-01 00:00:00' AS TIMESTAMP WITHOUT TIME ZONE))) WHEN ((r.a5 ~ '^([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29|([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z?)$' AND STRPOS(r.a5, chr(10)) = 0) OR ((r.a5 ~ '^([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?[+-](0[0-9]|1[0-4]):[0-5][0-9]$' AND STRPOS(r.a5, chr(10)) = 0) AND SUBSTRING(r.a5, 1, 4) <> '9999')) THEN DATEADD(minute, CASE WHEN LENGTH(r.a5) > 19 AND SUBSTRING(r.a5, LENGTH(r.a5) - 5, 1) IN ('+', '-') THEN CASE WHEN SUBSTRING(r.a5, LENGTH(r.a5) - 5, 1) = '+' THEN -1 ELSE 1 END * (CAST(SUBSTRING(r.a5, LENGTH(r.a5) - 4, 2) AS INTEGER) * 60 + CAST(RIGHT(r.a5, 2) AS INTEGER)) ELSE 0 END, CAST(REPLACE(SUBSTRING(r.a5, 1, LENGTH(r.a5) - CASE WHEN LENGTH(r.a5) > 19 AND SUBSTRING(r.a5, LENGTH(r.a5) - 5, 1) IN ('+', '-') THEN 6 WHEN RIGHT(r.a5, 1) = 'Z' THEN 1 ELSE 0 END), 'T', ' ') AS TIMESTAMP WITHOUT TIME ZONE)) END AS TIMESTAMP WITH TIME ZONE),
    CASE WHEN (r.a6 ~ '^-?(0|[1-9][0-9]{0,9})([.][0-9]{1,2})?$' AND STRPOS(r.a6, chr(10)) = 0) THEN r.a6 END
FROM _cdc_copied AS r
WHERE r.takes_0 AND NOT r.in_doubt;

-- [stage copied rows 1]
-- The rows of one target. What no column holds was not copied, so there is nothing to rescue.
INSERT INTO _cdc_rows_1 (n, "c0")
SELECT
    r.n,
    r.a9
FROM _cdc_copied AS r
WHERE r.takes_1 AND NOT r.in_doubt;

-- [drop what is staged]
DROP TABLE _cdc_copied;

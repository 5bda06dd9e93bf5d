-- [set enable_case_sensitive_identifier]
SET enable_case_sensitive_identifier TO TRUE;

-- [set enable_case_sensitive_super_attribute]
SET enable_case_sensitive_super_attribute TO TRUE;

-- [probe]
-- Whether this session reads documents as the statements that follow need it: names with their case, texts byte for byte,
-- patterns that span lines. Each must be true.
SELECT
    coalesce(w0 = ('it''s "a" ' || chr(92) || ' b
	/ä🛒 ') AND OCTET_LENGTH(w0) = 22, FALSE) AS q1,
    coalesce(w1 = 'a' AND w2 = '12', FALSE) AS q2,
    coalesce(NOT w1 = 'A' AND POSITION('A' IN w1) = 0, FALSE) AS q3,
    coalesce(NOT coalesce(k3 <> 'null', FALSE) AND NOT coalesce(k4 <> 'null', FALSE) AND coalesce(k5 <> 'null', FALSE) AND m6 = 9, FALSE) AS q4,
    coalesce(b7 AND d8 = '1767225600', FALSE) AS q5,
    coalesce(w9 = 'y' AND NOT coalesce(k10 <> 'null', FALSE), FALSE) AS q6,
    coalesce(NOT ('1' || chr(10) || 'x') ~ '^[0-9]+$' AND NOT ('x' || chr(10) || '1') ~ '^[0-9]+$' AND NOT ('1' || chr(10)) ~ '^[0-9]+$', FALSE) AS q7,
    coalesce(CAST(REPLACE(REPLACE(w11, 'T', ' '), 'Z', '+00') AS TIMESTAMP WITH TIME ZONE) = CAST(DATEADD(microsecond, CAST(1772323198000120 % 1000000 AS INTEGER), DATEADD(second, CAST(1772323198000120 / 1000000 AS INTEGER), CAST('1970-01-01' AS TIMESTAMP WITHOUT TIME ZONE))) AS TIMESTAMP WITH TIME ZONE) AND CAST(REPLACE(REPLACE(w12, 'T', ' '), 'Z', '+00') AS TIMESTAMP WITH TIME ZONE) = CAST(DATEADD(microsecond, CAST(86400000000 % 1000000 AS INTEGER), DATEADD(second, CAST(86400000000 / 1000000 AS INTEGER), CAST('1970-01-01' AS TIMESTAMP WITHOUT TIME ZONE))) AS TIMESTAMP WITH TIME ZONE), FALSE) AS q8,
    coalesce(LOWER(TO_HEX(TO_VARBYTE('AP8Q', 'base64'))) = '00ff10' AND CAST('-007' AS BIGINT) = -7 AND CAST('0.25' AS DOUBLE PRECISION) * 4 = 1 AND CAST('2024-12-31' AS DATE) = CAST('2024-12-31' AS DATE), FALSE) AS q9
FROM (
    SELECT
        s.*
        , CASE WHEN z0 = 2 + 2 * OCTET_LENGTH(v0) - OCTET_LENGTH(TRANSLATE(v0, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v0 END AS w0
        , CASE WHEN z1 = 2 + 2 * OCTET_LENGTH(v1) - OCTET_LENGTH(TRANSLATE(v1, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v1 END AS w1
        , CASE WHEN z2 = 2 + 2 * OCTET_LENGTH(v2) - OCTET_LENGTH(TRANSLATE(v2, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v2 END AS w2
        , CASE WHEN z9 = 2 + 2 * OCTET_LENGTH(v9) - OCTET_LENGTH(TRANSLATE(v9, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v9 END AS w9
        , CASE WHEN z11 = 2 + 2 * OCTET_LENGTH(v11) - OCTET_LENGTH(TRANSLATE(v11, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v11 END AS w11
        , CASE WHEN z12 = 2 + 2 * OCTET_LENGTH(v12) - OCTET_LENGTH(TRANSLATE(v12, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v12 END AS w12
    FROM (
        SELECT
            1 AS n
            , JSON_SIZE(r.document."A"."S") AS z0
            , CASE WHEN JSON_TYPEOF(r.document."A"."S") = 'string' AND JSON_SIZE(r.document."A"."S") <= 65535 THEN CAST(r.document."A"."S" AS VARCHAR(65535)) END AS v0
            , JSON_SIZE(r.document."a"."S") AS z1
            , CASE WHEN JSON_TYPEOF(r.document."a"."S") = 'string' AND JSON_SIZE(r.document."a"."S") <= 65535 THEN CAST(r.document."a"."S" AS VARCHAR(65535)) END AS v1
            , JSON_SIZE(r.document."Email ""address"".x"."N") AS z2
            , CASE WHEN JSON_TYPEOF(r.document."Email ""address"".x"."N") = 'string' AND JSON_SIZE(r.document."Email ""address"".x"."N") <= 65535 THEN CAST(r.document."Email ""address"".x"."N" AS VARCHAR(65535)) END AS v2
            , JSON_TYPEOF(r.document."b"."S") AS k3
            , JSON_TYPEOF(r.document."Z") AS k4
            , JSON_TYPEOF(r.document."A") AS k5
            , CASE WHEN JSON_TYPEOF(r.document) = 'object' THEN GET_NUMBER_ATTRIBUTES(r.document) END AS m6
            , CASE WHEN JSON_TYPEOF(r.document."T"."BOOL") = 'boolean' THEN CAST(r.document."T"."BOOL" AS BOOLEAN) END AS b7
            , CASE WHEN JSON_TYPEOF(r.document."at") = 'number' AND JSON_SIZE(r.document."at") <= 40 THEN JSON_SERIALIZE(r.document."at") END AS d8
            , JSON_SIZE(r.document."L"[1]) AS z9
            , CASE WHEN JSON_TYPEOF(r.document."L"[1]) = 'string' AND JSON_SIZE(r.document."L"[1]) <= 65535 THEN CAST(r.document."L"[1] AS VARCHAR(65535)) END AS v9
            , JSON_TYPEOF(r.document."at"."S") AS k10
            , JSON_SIZE(r.document."time"."S") AS z11
            , CASE WHEN JSON_TYPEOF(r.document."time"."S") = 'string' AND JSON_SIZE(r.document."time"."S") <= 65535 THEN CAST(r.document."time"."S" AS VARCHAR(65535)) END AS v11
            , JSON_SIZE(r.document."day"."S") AS z12
            , CASE WHEN JSON_TYPEOF(r.document."day"."S") = 'string' AND JSON_SIZE(r.document."day"."S") <= 65535 THEN CAST(r.document."day"."S" AS VARCHAR(65535)) END AS v12
        FROM (SELECT JSON_PARSE(('{"A":{"S":"it''s ' || chr(92) || '"a' || chr(92) || '" ' || chr(92) || '' || chr(92) || ' b' || chr(92) || 'n' || chr(92) || 't/ä🛒 "},"a":{"S":"a"},"Email ' || chr(92) || '"address' || chr(92) || '".x":{"N":"12"},"T":{"BOOL":true},"Z":null,"at":1767225600,"L":["x","y"],"time":{"S":"2026-02-28T23:59:58.000120Z"},"day":{"S":"1970-01-02"}}')) AS document) AS r
    ) AS s
) AS s;

-- [create _cdc_changes]
-- What orders the records, and the new image of each.
CREATE TEMPORARY TABLE _cdc_changes (
    partition_key VARCHAR(65535) COLLATE CASE_SENSITIVE,
    sort_key VARCHAR(65535) COLLATE CASE_SENSITIVE,
    position VARCHAR(65535) COLLATE CASE_SENSITIVE,
    removed BOOLEAN,
    changed_at TIMESTAMP WITH TIME ZONE,
    doubt VARCHAR(65535) COLLATE CASE_SENSITIVE,
    image SUPER
);

-- [fill _cdc_changes]
-- Every record, with its key and its place in the order of the key's changes. Where any of that cannot be told, `doubt`
-- says which part: then the worker decodes the batch, and finds out what the matter is.
INSERT INTO _cdc_changes (partition_key, sort_key, position, removed, changed_at, doubt, image)
SELECT
    partition_key,
    sort_key,
    position,
    event = 'REMOVE' AS removed,
    changed_at,
    CASE
        WHEN partition_key IS NULL OR sort_key IS NULL OR OCTET_LENGTH(partition_key) = 0 THEN 'key'
        WHEN event IS NULL THEN 'event'
        WHEN position IS NULL THEN 'position'
        WHEN (coalesce(k2 <> 'null', FALSE) AND changed_at IS NULL) OR (coalesce(k3 <> 'null', FALSE) AND w3 IS NULL) THEN 'time'
        WHEN event <> 'REMOVE' AND coalesce(m10, 0) = 0 THEN 'image'
        WHEN coalesce(k5 <> 'null', FALSE) OR coalesce(k6 <> 'null', FALSE) OR coalesce(k7 <> 'null', FALSE) OR coalesce(k8 <> 'null', FALSE) THEN 'feed'
    END AS doubt,
    image
FROM (
    SELECT
        s.*,
        CASE WHEN micros BETWEEN 0 AND 2147483647000000 THEN CAST(DATEADD(microsecond, CAST(micros % 1000000 AS INTEGER), DATEADD(second, CAST(micros / 1000000 AS INTEGER), CAST('1970-01-01' AS TIMESTAMP WITHOUT TIME ZONE))) AS TIMESTAMP WITH TIME ZONE) END AS changed_at,
        CASE WHEN micros >= 0 AND w4 ~ '^[A-Za-z0-9:/._-]+$' THEN LPAD(CAST(micros AS VARCHAR(65535)), 20, '0') || CASE event WHEN 'REMOVE' THEN '/1/' ELSE '/0/' END || w4 END AS position
    FROM (
        SELECT
            s.*,
            -- Without the precision the magnitude tells: seconds (Streams), milli- or microseconds (Kinesis).
            CASE
                WHEN w3 = 'MICROSECOND' AND OCTET_LENGTH(w3) = 11 THEN ticks
                WHEN w3 = 'MILLISECOND' AND OCTET_LENGTH(w3) = 11 AND ticks < 253402300800000 THEN ticks * 1000
                WHEN w3 IS NOT NULL THEN NULL
                WHEN ticks >= 100000000000000 THEN ticks
                WHEN ticks >= 100000000000 THEN ticks * 1000
                ELSE ticks * 1000000
            END AS micros
        FROM (
            SELECT
                s.*,
                CASE WHEN OCTET_LENGTH(RTRIM(w0)) = OCTET_LENGTH(w0) THEN w0 END AS partition_key,
                CASE WHEN OCTET_LENGTH(RTRIM(w1)) = OCTET_LENGTH(w1) THEN w1 END AS sort_key,
                CASE
                    WHEN w9 IN ('INSERT', 'MODIFY', 'REMOVE') AND OCTET_LENGTH(w9) = 6 THEN w9
                END AS event,
                CASE WHEN d2 ~ '^([0-9]{1,15}|[1-8][0-9]{15})$' THEN CAST(d2 AS BIGINT) END AS ticks
            FROM (
                SELECT
                    s.*
                    , CASE WHEN z0 = 2 + 2 * OCTET_LENGTH(v0) - OCTET_LENGTH(TRANSLATE(v0, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v0 END AS w0
                    , CASE WHEN z1 = 2 + 2 * OCTET_LENGTH(v1) - OCTET_LENGTH(TRANSLATE(v1, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v1 END AS w1
                    , CASE WHEN z3 = 2 + 2 * OCTET_LENGTH(v3) - OCTET_LENGTH(TRANSLATE(v3, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v3 END AS w3
                    , CASE WHEN z4 = 2 + 2 * OCTET_LENGTH(v4) - OCTET_LENGTH(TRANSLATE(v4, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v4 END AS w4
                    , CASE WHEN z9 = 2 + 2 * OCTET_LENGTH(v9) - OCTET_LENGTH(TRANSLATE(v9, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v9 END AS w9
                FROM (
                    SELECT
                        r.document."dynamodb"."NewImage" AS image
                        , JSON_SIZE(r.document."dynamodb"."Keys"."PK"."S") AS z0
                        , CASE WHEN JSON_TYPEOF(r.document."dynamodb"."Keys"."PK"."S") = 'string' AND JSON_SIZE(r.document."dynamodb"."Keys"."PK"."S") <= 65535 THEN CAST(r.document."dynamodb"."Keys"."PK"."S" AS VARCHAR(65535)) END AS v0
                        , JSON_SIZE(r.document."dynamodb"."Keys"."SK"."S") AS z1
                        , CASE WHEN JSON_TYPEOF(r.document."dynamodb"."Keys"."SK"."S") = 'string' AND JSON_SIZE(r.document."dynamodb"."Keys"."SK"."S") <= 65535 THEN CAST(r.document."dynamodb"."Keys"."SK"."S" AS VARCHAR(65535)) END AS v1
                        , CASE WHEN JSON_TYPEOF(r.document."dynamodb"."ApproximateCreationDateTime") = 'number' AND JSON_SIZE(r.document."dynamodb"."ApproximateCreationDateTime") <= 40 THEN JSON_SERIALIZE(r.document."dynamodb"."ApproximateCreationDateTime") END AS d2
                        , JSON_SIZE(r.document."dynamodb"."ApproximateCreationDateTimePrecision") AS z3
                        , CASE WHEN JSON_TYPEOF(r.document."dynamodb"."ApproximateCreationDateTimePrecision") = 'string' AND JSON_SIZE(r.document."dynamodb"."ApproximateCreationDateTimePrecision") <= 65535 THEN CAST(r.document."dynamodb"."ApproximateCreationDateTimePrecision" AS VARCHAR(65535)) END AS v3
                        , JSON_SIZE(r.document."eventID") AS z4
                        , CASE WHEN JSON_TYPEOF(r.document."eventID") = 'string' AND JSON_SIZE(r.document."eventID") <= 65535 THEN CAST(r.document."eventID" AS VARCHAR(65535)) END AS v4
                        , JSON_TYPEOF(r.document."dynamodb"."SequenceNumber") AS k5
                        , JSON_TYPEOF(r.document."dynamodb"."StreamViewType") AS k6
                        , JSON_TYPEOF(r.document."eventSourceARN") AS k7
                        , JSON_TYPEOF(r.document."eventVersion") AS k8
                        , JSON_TYPEOF(r.document."dynamodb"."ApproximateCreationDateTime") AS k2
                        , JSON_TYPEOF(r.document."dynamodb"."ApproximateCreationDateTimePrecision") AS k3
                        , JSON_SIZE(r.document."eventName") AS z9
                        , CASE WHEN JSON_TYPEOF(r.document."eventName") = 'string' AND JSON_SIZE(r.document."eventName") <= 65535 THEN CAST(r.document."eventName" AS VARCHAR(65535)) END AS v9
                        , CASE WHEN JSON_TYPEOF(r.document."dynamodb"."NewImage") = 'object' THEN GET_NUMBER_ATTRIBUTES(r.document."dynamodb"."NewImage") END AS m10
                    FROM _cdc_raw AS r
                ) AS s
            ) AS s
        ) AS s
    ) AS s
) AS s;

-- [count changes]
-- Whether all records are plain, and how many there are.
SELECT s.doubt, count(*) FROM _cdc_changes AS s GROUP BY s.doubt;

-- [create _cdc_newest]
-- The newest change of each key. Changes at one position are the same change: `nth` counts them.
CREATE TEMPORARY TABLE _cdc_newest (
    partition_key VARCHAR(65535) COLLATE CASE_SENSITIVE,
    sort_key VARCHAR(65535) COLLATE CASE_SENSITIVE,
    position VARCHAR(65535) COLLATE CASE_SENSITIVE,
    removed BOOLEAN,
    changed_at TIMESTAMP WITH TIME ZONE,
    nth BIGINT,
    image SUPER
);

-- [fill _cdc_newest]
INSERT INTO _cdc_newest (partition_key, sort_key, position, removed, changed_at, nth, image)
SELECT partition_key, sort_key, position, removed, changed_at, nth, image
FROM (
    SELECT
        s.*,
        RANK() OVER (PARTITION BY s.partition_key, s.sort_key ORDER BY s.position DESC) AS age,
        ROW_NUMBER() OVER (PARTITION BY s.partition_key, s.sort_key ORDER BY s.position DESC) AS nth
    FROM _cdc_changes AS s
) AS ranked
WHERE age = 1;

-- [find attributes]
-- The names of all attributes there are: those that no column has are kept in _cdc_rescued.
SELECT DISTINCT attribute
FROM _cdc_newest AS s, UNPIVOT s.image AS value AT attribute
WHERE NOT s.removed
LIMIT 1001;

-- [create _cdc_wide]
-- What each newest change is to each target, with the target's columns.
CREATE TEMPORARY TABLE _cdc_wide (
    n BIGINT,
    partition_key VARCHAR(65535) COLLATE CASE_SENSITIVE,
    sort_key VARCHAR(65535) COLLATE CASE_SENSITIVE,
    position VARCHAR(65535) COLLATE CASE_SENSITIVE,
    changed_at TIMESTAMP WITH TIME ZONE,
    removed BOOLEAN,
    nth BIGINT,
    entity VARCHAR(65535) COLLATE CASE_SENSITIVE,
    entity_doubt BOOLEAN
    , takes_0 BOOLEAN
    , doubt_0 BOOLEAN
    , rescued_0 VARCHAR(65535) COLLATE CASE_SENSITIVE
    , t0_c0 VARCHAR(65535) COLLATE CASE_SENSITIVE
    , t0_c1 VARCHAR(65535) COLLATE CASE_SENSITIVE
    , t0_c2 VARCHAR(65535) COLLATE CASE_SENSITIVE
    , takes_1 BOOLEAN
    , doubt_1 BOOLEAN
    , rescued_1 VARCHAR(65535) COLLATE CASE_SENSITIVE
    , t1_c0 BIGINT
    , t1_c1 TIMESTAMP WITH TIME ZONE
    , t1_c2 BOOLEAN
    , t1_c3 VARBYTE(1024000)
);

-- [fill _cdc_wide]
-- One look into the images: which target takes the item, and its typed columns where they surely fit. A row is sure when
-- each attribute of its image is in its columns, exactly, or left over as it is: so many as the image has.
INSERT INTO _cdc_wide (
    n, partition_key, sort_key, position, changed_at, removed, nth, entity, entity_doubt
    , takes_0, doubt_0, rescued_0
    , t0_c0
    , t0_c1
    , t0_c2
    , takes_1, doubt_1, rescued_1
    , t1_c0
    , t1_c1
    , t1_c2
    , t1_c3
)
SELECT
    n, partition_key, sort_key, position, changed_at, removed, nth,
    LEFT(coalesce(w3, w4, CASE b5 WHEN TRUE THEN 'true' WHEN FALSE THEN 'false' END, CASE WHEN POSITION('#' IN partition_key) > 0 THEN SPLIT_PART(partition_key, '#', 1) || '#' END, '(no prefix)'), 200) AS entity,
    FALSE
        OR coalesce((coalesce(k3 <> 'null', FALSE) AND w3 IS NULL), TRUE)
        OR coalesce((coalesce(k4 <> 'null', FALSE) AND w4 IS NULL), TRUE)
        OR coalesce((coalesce(k5 <> 'null', FALSE) AND b5 IS NULL), TRUE)
        OR coalesce(coalesce(NOT (w4 ~ '^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)[.][0-9]*[1-9])$'), FALSE), TRUE)
        OR coalesce(OCTET_LENGTH(RTRIM(LEFT(coalesce(w3, w4, CASE b5 WHEN TRUE THEN 'true' WHEN FALSE THEN 'false' END, CASE WHEN POSITION('#' IN partition_key) > 0 THEN SPLIT_PART(partition_key, '#', 1) || '#' END, '(no prefix)'), 200))) <> OCTET_LENGTH(LEFT(coalesce(w3, w4, CASE b5 WHEN TRUE THEN 'true' WHEN FALSE THEN 'false' END, CASE WHEN POSITION('#' IN partition_key) > 0 THEN SPLIT_PART(partition_key, '#', 1) || '#' END, '(no prefix)'), 200)), TRUE)
    AS entity_doubt
    , takes_0
    , NOT removed AND (
        takes_0 AND (
            coalesce(m16, -1) <> 1
                + CASE WHEN (t0_c0 IS NOT NULL) OR coalesce(b6, FALSE) THEN 1 ELSE 0 END
                + CASE WHEN (t0_c1 IS NOT NULL) OR coalesce(b7, FALSE) THEN 1 ELSE 0 END
                + CASE WHEN k8 = 'string' THEN 1 ELSE 0 END
                + CASE WHEN k9 = 'string' THEN 1 ELSE 0 END
                + CASE WHEN coalesce(k14 <> 'null', FALSE) THEN 1 ELSE 0 END
                + CASE WHEN coalesce(k15 <> 'null', FALSE) THEN 1 ELSE 0 END
            OR coalesce((coalesce(k10 <> 'null', FALSE) AND k10 <> 'object'), TRUE)
            OR coalesce((coalesce(k11 <> 'null', FALSE) AND k11 <> 'object'), TRUE)
            OR coalesce((t0_c2 IS NULL AND coalesce(k12 <> 'null', FALSE) AND NOT coalesce(b13, FALSE)), TRUE)
            OR coalesce((coalesce(k14 <> 'null', FALSE) AND coalesce(POSITION('"SS"' IN j14) > 0 OR POSITION('"NS"' IN j14) > 0 OR POSITION('"BS"' IN j14) > 0 OR POSITION('"B"' IN j14) > 0 OR POSITION((chr(92) || 'u0000') IN j14) > 0, TRUE)), TRUE)
            OR coalesce((coalesce(k15 <> 'null', FALSE) AND coalesce(POSITION('"SS"' IN j15) > 0 OR POSITION('"NS"' IN j15) > 0 OR POSITION('"BS"' IN j15) > 0 OR POSITION('"B"' IN j15) > 0 OR POSITION((chr(92) || 'u0000') IN j15) > 0, TRUE)), TRUE)
            OR coalesce(coalesce(z14, 0) + coalesce(z15, 0) > 59972, TRUE)
        )
        OR coalesce((coalesce(k3 <> 'null', FALSE) AND w3 IS NULL), TRUE)
        OR coalesce((coalesce(k4 <> 'null', FALSE) AND w4 IS NULL), TRUE)
        OR coalesce((coalesce(k5 <> 'null', FALSE) AND b5 IS NULL), TRUE)
    ) AS doubt_0
    , CASE WHEN (coalesce(k14 <> 'null', FALSE) AND NOT (coalesce(b17, FALSE) AND m14 = 1)) OR coalesce(k15 <> 'null', FALSE) THEN '{' || SUBSTRING(CASE WHEN (coalesce(k14 <> 'null', FALSE) AND NOT (coalesce(b17, FALSE) AND m14 = 1)) THEN ',"Addresses":' || j14 ELSE '' END || CASE WHEN coalesce(k15 <> 'null', FALSE) THEN (',"It''s ' || chr(92) || '"it' || chr(92) || '"":') || j15 ELSE '' END, 2) || '}' END AS rescued_0
    , t0_c0
    , t0_c1
    , t0_c2
    , takes_1
    , NOT removed AND (
        takes_1 AND (
            coalesce(m16, -1) <> 0
                + CASE WHEN (t1_c0 IS NOT NULL) OR coalesce(b21, FALSE) THEN 1 ELSE 0 END
                + CASE WHEN (t1_c1 IS NOT NULL) OR coalesce(b22, FALSE) THEN 1 ELSE 0 END
                + CASE WHEN (t1_c2 IS NOT NULL) OR coalesce(b23, FALSE) THEN 1 ELSE 0 END
                + CASE WHEN (t1_c3 IS NOT NULL) OR coalesce(b24, FALSE) THEN 1 ELSE 0 END
                + CASE WHEN k8 = 'string' THEN 1 ELSE 0 END
                + CASE WHEN k9 = 'string' THEN 1 ELSE 0 END
        )
        OR coalesce((coalesce(k3 <> 'null', FALSE) AND w3 IS NULL), TRUE)
        OR coalesce((coalesce(k4 <> 'null', FALSE) AND w4 IS NULL), TRUE)
        OR coalesce((coalesce(k5 <> 'null', FALSE) AND b5 IS NULL), TRUE)
    ) AS doubt_1
    , CAST(NULL AS VARCHAR(65535)) AS rescued_1
    , t1_c0
    , t1_c1
    , t1_c2
    , t1_c3
FROM (
    SELECT
        s.*
        , NOT s.removed AND (coalesce((coalesce((w3 = 'Customer' AND OCTET_LENGTH(w3) = 8), FALSE)), FALSE)) AS takes_0
        , w0 AS t0_c0
        , CASE WHEN w1 ~ '^-?0*[0-9]{1,10}([.][0-9]{1,2})?$' AND OCTET_LENGTH(w1) <= 130 THEN w1 END AS t0_c1
        , w2 AS t0_c2
        , NOT s.removed AND (coalesce((coalesce((w3 = 'Order' AND OCTET_LENGTH(w3) = 5), FALSE)), FALSE)) AS takes_1
        , CASE WHEN w18 ~ '^-?0{0,20}[0-9]{1,18}$' THEN CAST(w18 AS BIGINT) END AS t1_c0
        , CASE WHEN w19 ~ '^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)([T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z?)?$' THEN CAST(REPLACE(REPLACE(w19, 'T', ' '), 'Z', '+00') AS TIMESTAMP WITH TIME ZONE) END AS t1_c1
        , b20 AS t1_c2
        , CAST(NULL AS VARBYTE(1024000)) AS t1_c3
    FROM (
        SELECT
            s.*
            , CASE WHEN z0 = 2 + 2 * OCTET_LENGTH(v0) - OCTET_LENGTH(TRANSLATE(v0, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v0 END AS w0
            , CASE WHEN z1 = 2 + 2 * OCTET_LENGTH(v1) - OCTET_LENGTH(TRANSLATE(v1, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v1 END AS w1
            , CASE WHEN z2 = 2 + 2 * OCTET_LENGTH(v2) - OCTET_LENGTH(TRANSLATE(v2, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v2 END AS w2
            , CASE WHEN z3 = 2 + 2 * OCTET_LENGTH(v3) - OCTET_LENGTH(TRANSLATE(v3, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v3 END AS w3
            , CASE WHEN z4 = 2 + 2 * OCTET_LENGTH(v4) - OCTET_LENGTH(TRANSLATE(v4, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v4 END AS w4
            , CASE WHEN z18 = 2 + 2 * OCTET_LENGTH(v18) - OCTET_LENGTH(TRANSLATE(v18, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v18 END AS w18
            , CASE WHEN z19 = 2 + 2 * OCTET_LENGTH(v19) - OCTET_LENGTH(TRANSLATE(v19, 'a' || '"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13), 'a')) THEN v19 END AS w19
        FROM (
            SELECT
                ROW_NUMBER() OVER (ORDER BY s.partition_key, s.sort_key, s.nth) AS n,
                s.partition_key, s.sort_key, s.position, s.changed_at, s.removed, s.nth
                , JSON_SIZE(s.image."Username"."S") AS z0
                , CASE WHEN JSON_TYPEOF(s.image."Username"."S") = 'string' AND JSON_SIZE(s.image."Username"."S") <= 65535 THEN CAST(s.image."Username"."S" AS VARCHAR(65535)) END AS v0
                , JSON_SIZE(s.image."TotalSpent"."N") AS z1
                , CASE WHEN JSON_TYPEOF(s.image."TotalSpent"."N") = 'string' AND JSON_SIZE(s.image."TotalSpent"."N") <= 65535 THEN CAST(s.image."TotalSpent"."N" AS VARCHAR(65535)) END AS v1
                , JSON_SIZE(s.image."Addresses"."M"."Home"."M"."City"."S") AS z2
                , CASE WHEN JSON_TYPEOF(s.image."Addresses"."M"."Home"."M"."City"."S") = 'string' AND JSON_SIZE(s.image."Addresses"."M"."Home"."M"."City"."S") <= 65535 THEN CAST(s.image."Addresses"."M"."Home"."M"."City"."S" AS VARCHAR(65535)) END AS v2
                , JSON_TYPEOF(s.image."Type"."S") AS k3
                , JSON_SIZE(s.image."Type"."S") AS z3
                , CASE WHEN JSON_TYPEOF(s.image."Type"."S") = 'string' AND JSON_SIZE(s.image."Type"."S") <= 65535 THEN CAST(s.image."Type"."S" AS VARCHAR(65535)) END AS v3
                , JSON_TYPEOF(s.image."Type"."N") AS k4
                , JSON_SIZE(s.image."Type"."N") AS z4
                , CASE WHEN JSON_TYPEOF(s.image."Type"."N") = 'string' AND JSON_SIZE(s.image."Type"."N") <= 65535 THEN CAST(s.image."Type"."N" AS VARCHAR(65535)) END AS v4
                , JSON_TYPEOF(s.image."Type"."BOOL") AS k5
                , CASE WHEN JSON_TYPEOF(s.image."Type"."BOOL") = 'boolean' THEN CAST(s.image."Type"."BOOL" AS BOOLEAN) END AS b5
                , CASE WHEN JSON_TYPEOF(s.image."Username"."NULL") = 'boolean' THEN CAST(s.image."Username"."NULL" AS BOOLEAN) END AS b6
                , CASE WHEN JSON_TYPEOF(s.image."TotalSpent"."NULL") = 'boolean' THEN CAST(s.image."TotalSpent"."NULL" AS BOOLEAN) END AS b7
                , JSON_TYPEOF(s.image."PK"."S") AS k8
                , JSON_TYPEOF(s.image."SK"."S") AS k9
                , JSON_TYPEOF(s.image."Addresses"."M") AS k10
                , JSON_TYPEOF(s.image."Addresses"."M"."Home"."M") AS k11
                , JSON_TYPEOF(s.image."Addresses"."M"."Home"."M"."City") AS k12
                , CASE WHEN JSON_TYPEOF(s.image."Addresses"."M"."Home"."M"."City"."NULL") = 'boolean' THEN CAST(s.image."Addresses"."M"."Home"."M"."City"."NULL" AS BOOLEAN) END AS b13
                , CASE WHEN JSON_SIZE(s.image."Addresses") <= 65535 THEN JSON_SERIALIZE(s.image."Addresses") END AS j14
                , JSON_TYPEOF(s.image."Addresses") AS k14
                , CASE WHEN JSON_SIZE(s.image."It's ""it""") <= 65535 THEN JSON_SERIALIZE(s.image."It's ""it""") END AS j15
                , JSON_TYPEOF(s.image."It's ""it""") AS k15
                , JSON_SIZE(s.image."Addresses") AS z14
                , JSON_SIZE(s.image."It's ""it""") AS z15
                , CASE WHEN JSON_TYPEOF(s.image) = 'object' THEN GET_NUMBER_ATTRIBUTES(s.image) END AS m16
                , CASE WHEN JSON_TYPEOF(s.image."Addresses"."NULL") = 'boolean' THEN CAST(s.image."Addresses"."NULL" AS BOOLEAN) END AS b17
                , CASE WHEN JSON_TYPEOF(s.image."Addresses") = 'object' THEN GET_NUMBER_ATTRIBUTES(s.image."Addresses") END AS m14
                , JSON_SIZE(s.image."select"."N") AS z18
                , CASE WHEN JSON_TYPEOF(s.image."select"."N") = 'string' AND JSON_SIZE(s.image."select"."N") <= 65535 THEN CAST(s.image."select"."N" AS VARCHAR(65535)) END AS v18
                , JSON_SIZE(s.image."CreatedAt"."S") AS z19
                , CASE WHEN JSON_TYPEOF(s.image."CreatedAt"."S") = 'string' AND JSON_SIZE(s.image."CreatedAt"."S") <= 65535 THEN CAST(s.image."CreatedAt"."S" AS VARCHAR(65535)) END AS v19
                , CASE WHEN JSON_TYPEOF(s.image."Paid"."BOOL") = 'boolean' THEN CAST(s.image."Paid"."BOOL" AS BOOLEAN) END AS b20
                , CASE WHEN JSON_TYPEOF(s.image."select"."NULL") = 'boolean' THEN CAST(s.image."select"."NULL" AS BOOLEAN) END AS b21
                , CASE WHEN JSON_TYPEOF(s.image."CreatedAt"."NULL") = 'boolean' THEN CAST(s.image."CreatedAt"."NULL" AS BOOLEAN) END AS b22
                , CASE WHEN JSON_TYPEOF(s.image."Paid"."NULL") = 'boolean' THEN CAST(s.image."Paid"."NULL" AS BOOLEAN) END AS b23
                , CASE WHEN JSON_TYPEOF(s.image."Token"."NULL") = 'boolean' THEN CAST(s.image."Token"."NULL" AS BOOLEAN) END AS b24
            FROM _cdc_newest AS s
        ) AS s
    ) AS s
) AS s;

-- [count rows]
-- How many keys there are, whether a row of any target is in doubt, and the time of the newest change.
SELECT
    count(CASE WHEN s.nth = 1 THEN 1 END),
    count(CASE WHEN NOT s.removed AND NOT s.takes_0 AND NOT s.takes_1 AND s.entity_doubt THEN 1 END),
    max(s.changed_at)
    , count(CASE WHEN s.doubt_0 THEN 1 END)
    , count(CASE WHEN s.doubt_1 THEN 1 END)
FROM _cdc_wide AS s;

-- [compare copies]
-- Changes of one key at one position that are not the same after all.
SELECT count(*)
FROM _cdc_wide AS s
JOIN _cdc_wide AS o
    ON o.partition_key = s.partition_key
    AND o.sort_key = s.sort_key
WHERE s.nth = 1
    AND o.nth > 1
    AND NOT (
        s.removed = o.removed
        AND (CASE WHEN s.changed_at IS NULL THEN o.changed_at IS NULL ELSE coalesce(s.changed_at = o.changed_at, FALSE) END)
        AND (CASE WHEN s.entity IS NULL THEN o.entity IS NULL ELSE coalesce(s.entity = o.entity, FALSE) END)
        AND s.takes_0 = o.takes_0
        AND (CASE WHEN s.rescued_0 IS NULL THEN o.rescued_0 IS NULL ELSE coalesce(s.rescued_0 = o.rescued_0 AND octet_length(s.rescued_0) = octet_length(o.rescued_0), FALSE) END)
        AND (CASE WHEN s.t0_c0 IS NULL THEN o.t0_c0 IS NULL ELSE coalesce(s.t0_c0 = o.t0_c0 AND octet_length(s.t0_c0) = octet_length(o.t0_c0), FALSE) END)
        AND (CASE WHEN s.t0_c1 IS NULL THEN o.t0_c1 IS NULL ELSE coalesce(s.t0_c1 = o.t0_c1 AND octet_length(s.t0_c1) = octet_length(o.t0_c1), FALSE) END)
        AND (CASE WHEN s.t0_c2 IS NULL THEN o.t0_c2 IS NULL ELSE coalesce(s.t0_c2 = o.t0_c2 AND octet_length(s.t0_c2) = octet_length(o.t0_c2), FALSE) END)
        AND s.takes_1 = o.takes_1
        AND (CASE WHEN s.rescued_1 IS NULL THEN o.rescued_1 IS NULL ELSE coalesce(s.rescued_1 = o.rescued_1 AND octet_length(s.rescued_1) = octet_length(o.rescued_1), FALSE) END)
        AND (CASE WHEN s.t1_c0 IS NULL THEN o.t1_c0 IS NULL ELSE coalesce(s.t1_c0 = o.t1_c0, FALSE) END)
        AND (CASE WHEN s.t1_c1 IS NULL THEN o.t1_c1 IS NULL ELSE coalesce(s.t1_c1 = o.t1_c1, FALSE) END)
        AND (CASE WHEN s.t1_c2 IS NULL THEN o.t1_c2 IS NULL ELSE coalesce(s.t1_c2 = o.t1_c2, FALSE) END)
        AND (CASE WHEN s.t1_c3 IS NULL THEN o.t1_c3 IS NULL ELSE coalesce(s.t1_c3 = o.t1_c3, FALSE) END)
    );

-- [create _cdc_keys]
-- What the merge has to know of each key: its newest change, whether it removes, and which target takes it.
CREATE TEMPORARY TABLE _cdc_keys (
    n BIGINT,
    partition_key VARCHAR(65535) COLLATE CASE_SENSITIVE,
    sort_key VARCHAR(65535) COLLATE CASE_SENSITIVE,
    position VARCHAR(65535) COLLATE CASE_SENSITIVE,
    changed_at TIMESTAMP WITH TIME ZONE,
    removed BOOLEAN,
    could BOOLEAN
    , takes_0 BOOLEAN
    , takes_1 BOOLEAN
);

-- [fill _cdc_keys]
INSERT INTO _cdc_keys
SELECT
    s.n, s.partition_key, s.sort_key, s.position, s.changed_at, s.removed,
    TRUE OR TRUE AS could
    , s.takes_0
    , s.takes_1
FROM _cdc_wide AS s
WHERE s.nth = 1;

-- [create _cdc_rows_0]
-- The rows of one target.
CREATE TEMPORARY TABLE _cdc_rows_0 (
    n BIGINT,
    rescued VARCHAR(65535) COLLATE CASE_SENSITIVE
    , c0 VARCHAR(65535) COLLATE CASE_SENSITIVE
    , c1 VARCHAR(65535) COLLATE CASE_SENSITIVE
    , c2 VARCHAR(65535) COLLATE CASE_SENSITIVE
);

-- [fill _cdc_rows_0]
INSERT INTO _cdc_rows_0
SELECT
    s.n, s.rescued_0
    , s.t0_c0
    , s.t0_c1
    , s.t0_c2
FROM _cdc_wide AS s
WHERE s.nth = 1
    AND s.takes_0;

-- [create _cdc_rows_1]
-- The rows of one target.
CREATE TEMPORARY TABLE _cdc_rows_1 (
    n BIGINT,
    rescued VARCHAR(65535) COLLATE CASE_SENSITIVE
    , c0 BIGINT
    , c1 TIMESTAMP WITH TIME ZONE
    , c2 BOOLEAN
    , c3 VARBYTE(1024000)
);

-- [fill _cdc_rows_1]
INSERT INTO _cdc_rows_1
SELECT
    s.n, s.rescued_1
    , s.t1_c0
    , s.t1_c1
    , s.t1_c2
    , s.t1_c3
FROM _cdc_wide AS s
WHERE s.nth = 1
    AND s.takes_1;

-- [find unmatched]
-- The items that no target takes, counted by what seems to be their entity.
SELECT s.entity, count(*)
FROM _cdc_wide AS s
WHERE s.nth = 1
    AND NOT s.removed
    AND NOT s.takes_0
    AND NOT s.takes_1
GROUP BY s.entity;

-- [reset enable_case_sensitive_identifier]
RESET enable_case_sensitive_identifier;

-- [reset enable_case_sensitive_super_attribute]
RESET enable_case_sensitive_super_attribute;

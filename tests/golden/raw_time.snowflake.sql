-- [probe]
-- Whether this session reads documents as the statements that follow need it: names with their case, texts byte for byte,
-- patterns that span lines. Each must be true.
SELECT
    coalesce(w0 = ('it''s "a" ' || chr(92) || ' b
	/ä🛒 ') AND OCTET_LENGTH(w0) = 22, FALSE) AS q1,
    coalesce(w1 = 'a' AND w2 = '12', FALSE) AS q2,
    coalesce(NOT w1 = 'A' AND POSITION('A' IN w1) = 0, FALSE) AS q3,
    coalesce(NOT coalesce(k3 <> 'NULL_VALUE', FALSE) AND NOT coalesce(k4 <> 'NULL_VALUE', FALSE) AND coalesce(k5 <> 'NULL_VALUE', FALSE) AND m6 = 9, FALSE) AS q4,
    coalesce(b7 AND d8 = '1767225600', FALSE) AS q5,
    coalesce(w9 = 'y' AND NOT coalesce(k10 <> 'NULL_VALUE', FALSE), FALSE) AS q6,
    coalesce(NOT REGEXP_LIKE(('1' || chr(10) || 'x'), '^[0-9]+$') AND NOT REGEXP_LIKE(('x' || chr(10) || '1'), '^[0-9]+$') AND NOT REGEXP_LIKE(('1' || chr(10)), '^[0-9]+$'), FALSE) AS q7,
    coalesce(TO_TIMESTAMP_TZ(DATEDIFF(day, TO_DATE('1970-01-01', 'YYYY-MM-DD'), TRY_TO_DATE(LEFT(w11, 10), 'YYYY-MM-DD')) * 86400000000 + coalesce(TRY_CAST(SUBSTR(w11, 12, 2) AS NUMERIC(38, 0)), 0) * 3600000000 + coalesce(TRY_CAST(SUBSTR(w11, 15, 2) AS NUMERIC(38, 0)), 0) * 60000000 + coalesce(TRY_CAST(SUBSTR(w11, 18, 2) AS NUMERIC(38, 0)), 0) * 1000000 + TRY_CAST(RPAD(REPLACE(SUBSTR(w11, 21), 'Z', ''), 6, '0') AS NUMERIC(38, 0)), 6) = TO_TIMESTAMP_TZ(1772323198000120, 6) AND TO_TIMESTAMP_TZ(DATEDIFF(day, TO_DATE('1970-01-01', 'YYYY-MM-DD'), TRY_TO_DATE(LEFT(w12, 10), 'YYYY-MM-DD')) * 86400000000 + coalesce(TRY_CAST(SUBSTR(w12, 12, 2) AS NUMERIC(38, 0)), 0) * 3600000000 + coalesce(TRY_CAST(SUBSTR(w12, 15, 2) AS NUMERIC(38, 0)), 0) * 60000000 + coalesce(TRY_CAST(SUBSTR(w12, 18, 2) AS NUMERIC(38, 0)), 0) * 1000000 + TRY_CAST(RPAD(REPLACE(SUBSTR(w12, 21), 'Z', ''), 6, '0') AS NUMERIC(38, 0)), 6) = TO_TIMESTAMP_TZ(86400000000, 6), FALSE) AS q8,
    coalesce(LOWER(HEX_ENCODE(TRY_TO_BINARY('AP8Q', 'BASE64'))) = '00ff10' AND TRY_CAST('-007' AS NUMERIC(38, 0)) = -7 AND TRY_CAST('0.25' AS FLOAT) * 4 = 1 AND TRY_TO_DATE('2024-12-31', 'YYYY-MM-DD') = CAST('2024-12-31' AS DATE), FALSE) AS q9
FROM (
    SELECT
        s.*
        , CASE WHEN TO_JSON(TO_VARIANT(v0)) = j0 AND POSITION(chr(0) IN v0) = 0 AND POSITION('�' IN v0) = 0 THEN v0 END AS w0
        , CASE WHEN TO_JSON(TO_VARIANT(v1)) = j1 AND POSITION(chr(0) IN v1) = 0 AND POSITION('�' IN v1) = 0 THEN v1 END AS w1
        , CASE WHEN TO_JSON(TO_VARIANT(v2)) = j2 AND POSITION(chr(0) IN v2) = 0 AND POSITION('�' IN v2) = 0 THEN v2 END AS w2
        , CASE WHEN TO_JSON(TO_VARIANT(v9)) = j9 AND POSITION(chr(0) IN v9) = 0 AND POSITION('�' IN v9) = 0 THEN v9 END AS w9
        , CASE WHEN TO_JSON(TO_VARIANT(v11)) = j11 AND POSITION(chr(0) IN v11) = 0 AND POSITION('�' IN v11) = 0 THEN v11 END AS w11
        , CASE WHEN TO_JSON(TO_VARIANT(v12)) = j12 AND POSITION(chr(0) IN v12) = 0 AND POSITION('�' IN v12) = 0 THEN v12 END AS w12
    FROM (
        SELECT
            1 AS n
            , TO_JSON(GET(GET(r.document, 'A'), 'S')) AS j0
            , CASE WHEN TYPEOF(GET(GET(r.document, 'A'), 'S')) = 'VARCHAR' THEN CAST(GET(GET(r.document, 'A'), 'S') AS VARCHAR) END AS v0
            , TO_JSON(GET(GET(r.document, 'a'), 'S')) AS j1
            , CASE WHEN TYPEOF(GET(GET(r.document, 'a'), 'S')) = 'VARCHAR' THEN CAST(GET(GET(r.document, 'a'), 'S') AS VARCHAR) END AS v1
            , TO_JSON(GET(GET(r.document, 'Email "address".x'), 'N')) AS j2
            , CASE WHEN TYPEOF(GET(GET(r.document, 'Email "address".x'), 'N')) = 'VARCHAR' THEN CAST(GET(GET(r.document, 'Email "address".x'), 'N') AS VARCHAR) END AS v2
            , TYPEOF(GET(GET(r.document, 'b'), 'S')) AS k3
            , TYPEOF(GET(r.document, 'Z')) AS k4
            , TYPEOF(GET(r.document, 'A')) AS k5
            , CASE WHEN TYPEOF(r.document) = 'OBJECT' THEN ARRAY_SIZE(OBJECT_KEYS(r.document)) END AS m6
            , CASE WHEN TYPEOF(GET(GET(r.document, 'T'), 'BOOL')) = 'BOOLEAN' THEN CAST(GET(GET(r.document, 'T'), 'BOOL') AS BOOLEAN) END AS b7
            , CASE WHEN TYPEOF(GET(r.document, 'at')) = 'INTEGER' THEN TO_JSON(GET(r.document, 'at')) END AS d8
            , TO_JSON(GET(GET(r.document, 'L'), 1)) AS j9
            , CASE WHEN TYPEOF(GET(GET(r.document, 'L'), 1)) = 'VARCHAR' THEN CAST(GET(GET(r.document, 'L'), 1) AS VARCHAR) END AS v9
            , TYPEOF(GET(GET(r.document, 'at'), 'S')) AS k10
            , TO_JSON(GET(GET(r.document, 'time'), 'S')) AS j11
            , CASE WHEN TYPEOF(GET(GET(r.document, 'time'), 'S')) = 'VARCHAR' THEN CAST(GET(GET(r.document, 'time'), 'S') AS VARCHAR) END AS v11
            , TO_JSON(GET(GET(r.document, 'day'), 'S')) AS j12
            , CASE WHEN TYPEOF(GET(GET(r.document, 'day'), 'S')) = 'VARCHAR' THEN CAST(GET(GET(r.document, 'day'), 'S') AS VARCHAR) END AS v12
        FROM (SELECT PARSE_JSON(('{"A":{"S":"it''s ' || chr(92) || '"a' || chr(92) || '" ' || chr(92) || '' || chr(92) || ' b' || chr(92) || 'n' || chr(92) || 't/ä🛒 "},"a":{"S":"a"},"Email ' || chr(92) || '"address' || chr(92) || '".x":{"N":"12"},"T":{"BOOL":true},"Z":null,"at":1767225600,"L":["x","y"],"time":{"S":"2026-02-28T23:59:58.000120Z"},"day":{"S":"1970-01-02"}}')) AS document) AS r
    ) AS s
) AS s;

-- [create _cdc_changes]
-- What orders the records, and the new image of each.
CREATE TEMPORARY TABLE _cdc_changes (
    partition_key VARCHAR,
    sort_key VARCHAR,
    position VARCHAR,
    removed BOOLEAN,
    changed_at TIMESTAMP_TZ,
    doubt VARCHAR,
    image VARIANT
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
        WHEN (coalesce(k2 <> 'NULL_VALUE', FALSE) AND changed_at IS NULL) OR (coalesce(k3 <> 'NULL_VALUE', FALSE) AND w3 IS NULL) THEN 'time'
        WHEN event <> 'REMOVE' AND coalesce(m10, 0) = 0 THEN 'image'
        WHEN coalesce(k5 <> 'NULL_VALUE', FALSE) OR coalesce(k6 <> 'NULL_VALUE', FALSE) OR coalesce(k7 <> 'NULL_VALUE', FALSE) OR coalesce(k8 <> 'NULL_VALUE', FALSE) THEN 'feed'
    END AS doubt,
    image
FROM (
    SELECT
        s.*,
        CASE WHEN micros BETWEEN 0 AND 253402300799000000 THEN TO_TIMESTAMP_TZ(micros, 6) END AS changed_at,
        CASE WHEN micros >= 0 AND REGEXP_LIKE(w4, '^[A-Za-z0-9:/._-]+$') THEN LPAD(CAST(micros AS VARCHAR), 20, '0') || CASE event WHEN 'REMOVE' THEN '/1/' ELSE '/0/' END || w4 END AS position
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
                w0 AS partition_key,
                w1 AS sort_key,
                CASE
                    WHEN w9 IN ('INSERT', 'MODIFY', 'REMOVE') AND OCTET_LENGTH(w9) = 6 THEN w9
                END AS event,
                CASE WHEN REGEXP_LIKE(d2, '^([0-9]{1,15}|[1-8][0-9]{15})$') THEN TRY_CAST(d2 AS NUMERIC(38, 0)) END AS ticks
            FROM (
                SELECT
                    s.*
                    , CASE WHEN TO_JSON(TO_VARIANT(v0)) = j0 AND POSITION(chr(0) IN v0) = 0 AND POSITION('�' IN v0) = 0 THEN v0 END AS w0
                    , CASE WHEN TO_JSON(TO_VARIANT(v1)) = j1 AND POSITION(chr(0) IN v1) = 0 AND POSITION('�' IN v1) = 0 THEN v1 END AS w1
                    , CASE WHEN TO_JSON(TO_VARIANT(v3)) = j3 AND POSITION(chr(0) IN v3) = 0 AND POSITION('�' IN v3) = 0 THEN v3 END AS w3
                    , CASE WHEN TO_JSON(TO_VARIANT(v4)) = j4 AND POSITION(chr(0) IN v4) = 0 AND POSITION('�' IN v4) = 0 THEN v4 END AS w4
                    , CASE WHEN TO_JSON(TO_VARIANT(v9)) = j9 AND POSITION(chr(0) IN v9) = 0 AND POSITION('�' IN v9) = 0 THEN v9 END AS w9
                FROM (
                    SELECT
                        GET(GET(r.document, 'dynamodb'), 'NewImage') AS image
                        , TO_JSON(GET(GET(GET(GET(r.document, 'dynamodb'), 'Keys'), 'PK'), 'S')) AS j0
                        , CASE WHEN TYPEOF(GET(GET(GET(GET(r.document, 'dynamodb'), 'Keys'), 'PK'), 'S')) = 'VARCHAR' THEN CAST(GET(GET(GET(GET(r.document, 'dynamodb'), 'Keys'), 'PK'), 'S') AS VARCHAR) END AS v0
                        , TO_JSON(GET(GET(GET(GET(r.document, 'dynamodb'), 'Keys'), 'SK'), 'S')) AS j1
                        , CASE WHEN TYPEOF(GET(GET(GET(GET(r.document, 'dynamodb'), 'Keys'), 'SK'), 'S')) = 'VARCHAR' THEN CAST(GET(GET(GET(GET(r.document, 'dynamodb'), 'Keys'), 'SK'), 'S') AS VARCHAR) END AS v1
                        , CASE WHEN TYPEOF(GET(GET(r.document, 'dynamodb'), 'ApproximateCreationDateTime')) = 'INTEGER' THEN TO_JSON(GET(GET(r.document, 'dynamodb'), 'ApproximateCreationDateTime')) END AS d2
                        , TO_JSON(GET(GET(r.document, 'dynamodb'), 'ApproximateCreationDateTimePrecision')) AS j3
                        , CASE WHEN TYPEOF(GET(GET(r.document, 'dynamodb'), 'ApproximateCreationDateTimePrecision')) = 'VARCHAR' THEN CAST(GET(GET(r.document, 'dynamodb'), 'ApproximateCreationDateTimePrecision') AS VARCHAR) END AS v3
                        , TO_JSON(GET(r.document, 'eventID')) AS j4
                        , CASE WHEN TYPEOF(GET(r.document, 'eventID')) = 'VARCHAR' THEN CAST(GET(r.document, 'eventID') AS VARCHAR) END AS v4
                        , TYPEOF(GET(GET(r.document, 'dynamodb'), 'SequenceNumber')) AS k5
                        , TYPEOF(GET(GET(r.document, 'dynamodb'), 'StreamViewType')) AS k6
                        , TYPEOF(GET(r.document, 'eventSourceARN')) AS k7
                        , TYPEOF(GET(r.document, 'eventVersion')) AS k8
                        , TYPEOF(GET(GET(r.document, 'dynamodb'), 'ApproximateCreationDateTime')) AS k2
                        , TYPEOF(GET(GET(r.document, 'dynamodb'), 'ApproximateCreationDateTimePrecision')) AS k3
                        , TO_JSON(GET(r.document, 'eventName')) AS j9
                        , CASE WHEN TYPEOF(GET(r.document, 'eventName')) = 'VARCHAR' THEN CAST(GET(r.document, 'eventName') AS VARCHAR) END AS v9
                        , CASE WHEN TYPEOF(GET(GET(r.document, 'dynamodb'), 'NewImage')) = 'OBJECT' THEN ARRAY_SIZE(OBJECT_KEYS(GET(GET(r.document, 'dynamodb'), 'NewImage'))) END AS m10
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
    partition_key VARCHAR,
    sort_key VARCHAR,
    position VARCHAR,
    removed BOOLEAN,
    changed_at TIMESTAMP_TZ,
    nth BIGINT,
    image VARIANT
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
SELECT DISTINCT f.key
FROM _cdc_newest AS s, LATERAL FLATTEN(INPUT => s.image, MODE => 'OBJECT') AS f
WHERE NOT s.removed
LIMIT 1001;

-- [create _cdc_wide]
-- What each newest change is to each target, with the target's columns.
CREATE TEMPORARY TABLE _cdc_wide (
    n BIGINT,
    partition_key VARCHAR,
    sort_key VARCHAR,
    position VARCHAR,
    changed_at TIMESTAMP_TZ,
    removed BOOLEAN,
    nth BIGINT,
    entity VARCHAR,
    entity_doubt BOOLEAN
    , takes_0 BOOLEAN
    , doubt_0 BOOLEAN
    , rescued_0 VARCHAR
    , t0_c0 VARCHAR
    , t0_c1 VARCHAR
    , t0_c2 VARCHAR
    , takes_1 BOOLEAN
    , doubt_1 BOOLEAN
    , rescued_1 VARCHAR
    , t1_c0 NUMERIC(38, 0)
    , t1_c1 TIMESTAMP_TZ
    , t1_c2 BOOLEAN
    , t1_c3 BINARY
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
        OR coalesce((coalesce(k3 <> 'NULL_VALUE', FALSE) AND w3 IS NULL), TRUE)
        OR coalesce((coalesce(k4 <> 'NULL_VALUE', FALSE) AND w4 IS NULL), TRUE)
        OR coalesce((coalesce(k5 <> 'NULL_VALUE', FALSE) AND b5 IS NULL), TRUE)
        OR coalesce(coalesce(NOT (REGEXP_LIKE(w4, '^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)[.][0-9]*[1-9])$')), FALSE), TRUE)
    AS entity_doubt
    , takes_0
    , NOT removed AND (
        takes_0 AND (
            coalesce(m16, -1) <> 1
                + CASE WHEN (t0_c0 IS NOT NULL) OR coalesce(b6, FALSE) THEN 1 ELSE 0 END
                + CASE WHEN (t0_c1 IS NOT NULL) OR coalesce(b7, FALSE) THEN 1 ELSE 0 END
                + CASE WHEN k8 = 'VARCHAR' THEN 1 ELSE 0 END
                + CASE WHEN k9 = 'VARCHAR' THEN 1 ELSE 0 END
                + CASE WHEN coalesce(k14 <> 'NULL_VALUE', FALSE) THEN 1 ELSE 0 END
                + CASE WHEN coalesce(k15 <> 'NULL_VALUE', FALSE) THEN 1 ELSE 0 END
            OR coalesce((coalesce(k10 <> 'NULL_VALUE', FALSE) AND k10 <> 'OBJECT'), TRUE)
            OR coalesce((coalesce(k11 <> 'NULL_VALUE', FALSE) AND k11 <> 'OBJECT'), TRUE)
            OR coalesce((t0_c2 IS NULL AND coalesce(k12 <> 'NULL_VALUE', FALSE) AND NOT coalesce(b13, FALSE)), TRUE)
            OR coalesce((coalesce(k14 <> 'NULL_VALUE', FALSE) AND coalesce(POSITION('"SS"' IN j14) > 0 OR POSITION('"NS"' IN j14) > 0 OR POSITION('"BS"' IN j14) > 0 OR POSITION('"B"' IN j14) > 0 OR POSITION((chr(92) || 'u0000') IN j14) > 0 OR POSITION(chr(0) IN j14) > 0 OR POSITION('�' IN j14) > 0 OR REGEXP_LIKE(REGEXP_REPLACE(j14, '"([^"\\\\]|\\\\.)*"'), '.*[0-9].*', 's'), TRUE)), TRUE)
            OR coalesce((coalesce(k15 <> 'NULL_VALUE', FALSE) AND coalesce(POSITION('"SS"' IN j15) > 0 OR POSITION('"NS"' IN j15) > 0 OR POSITION('"BS"' IN j15) > 0 OR POSITION('"B"' IN j15) > 0 OR POSITION((chr(92) || 'u0000') IN j15) > 0 OR POSITION(chr(0) IN j15) > 0 OR POSITION('�' IN j15) > 0 OR REGEXP_LIKE(REGEXP_REPLACE(j15, '"([^"\\\\]|\\\\.)*"'), '.*[0-9].*', 's'), TRUE)), TRUE)
        )
        OR coalesce((coalesce(k3 <> 'NULL_VALUE', FALSE) AND w3 IS NULL), TRUE)
        OR coalesce((coalesce(k4 <> 'NULL_VALUE', FALSE) AND w4 IS NULL), TRUE)
        OR coalesce((coalesce(k5 <> 'NULL_VALUE', FALSE) AND b5 IS NULL), TRUE)
    ) AS doubt_0
    , CASE WHEN (coalesce(k14 <> 'NULL_VALUE', FALSE) AND NOT (coalesce(b17, FALSE) AND m14 = 1)) OR coalesce(k15 <> 'NULL_VALUE', FALSE) THEN '{' || SUBSTRING(CASE WHEN (coalesce(k14 <> 'NULL_VALUE', FALSE) AND NOT (coalesce(b17, FALSE) AND m14 = 1)) THEN ',"Addresses":' || j14 ELSE '' END || CASE WHEN coalesce(k15 <> 'NULL_VALUE', FALSE) THEN (',"It''s ' || chr(92) || '"it' || chr(92) || '"":') || j15 ELSE '' END, 2) || '}' END AS rescued_0
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
                + CASE WHEN k8 = 'VARCHAR' THEN 1 ELSE 0 END
                + CASE WHEN k9 = 'VARCHAR' THEN 1 ELSE 0 END
        )
        OR coalesce((coalesce(k3 <> 'NULL_VALUE', FALSE) AND w3 IS NULL), TRUE)
        OR coalesce((coalesce(k4 <> 'NULL_VALUE', FALSE) AND w4 IS NULL), TRUE)
        OR coalesce((coalesce(k5 <> 'NULL_VALUE', FALSE) AND b5 IS NULL), TRUE)
    ) AS doubt_1
    , CAST(NULL AS VARCHAR) AS rescued_1
    , t1_c0
    , t1_c1
    , t1_c2
    , t1_c3
FROM (
    SELECT
        s.*
        , NOT s.removed AND (coalesce((coalesce((w3 = 'Customer' AND OCTET_LENGTH(w3) = 8), FALSE)), FALSE)) AS takes_0
        , w0 AS t0_c0
        , CASE WHEN REGEXP_LIKE(w1, '^-?0*[0-9]{1,10}([.][0-9]{1,2})?$') AND OCTET_LENGTH(w1) <= 130 THEN w1 END AS t0_c1
        , w2 AS t0_c2
        , NOT s.removed AND (coalesce((coalesce((w3 = 'Order' AND OCTET_LENGTH(w3) = 5), FALSE)), FALSE)) AS takes_1
        , CASE WHEN REGEXP_LIKE(w18, '^-?0{0,20}[0-9]{1,18}$') THEN TRY_CAST(w18 AS NUMERIC(38, 0)) END AS t1_c0
        , CASE WHEN REGEXP_LIKE(w19, '^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)([T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z?)?$') THEN TO_TIMESTAMP_TZ(DATEDIFF(day, TO_DATE('1970-01-01', 'YYYY-MM-DD'), TRY_TO_DATE(LEFT(w19, 10), 'YYYY-MM-DD')) * 86400000000 + coalesce(TRY_CAST(SUBSTR(w19, 12, 2) AS NUMERIC(38, 0)), 0) * 3600000000 + coalesce(TRY_CAST(SUBSTR(w19, 15, 2) AS NUMERIC(38, 0)), 0) * 60000000 + coalesce(TRY_CAST(SUBSTR(w19, 18, 2) AS NUMERIC(38, 0)), 0) * 1000000 + TRY_CAST(RPAD(REPLACE(SUBSTR(w19, 21), 'Z', ''), 6, '0') AS NUMERIC(38, 0)), 6) END AS t1_c1
        , b20 AS t1_c2
        , CAST(NULL AS BINARY) AS t1_c3
    FROM (
        SELECT
            s.*
            , CASE WHEN TO_JSON(TO_VARIANT(v0)) = j0 AND POSITION(chr(0) IN v0) = 0 AND POSITION('�' IN v0) = 0 THEN v0 END AS w0
            , CASE WHEN TO_JSON(TO_VARIANT(v1)) = j1 AND POSITION(chr(0) IN v1) = 0 AND POSITION('�' IN v1) = 0 THEN v1 END AS w1
            , CASE WHEN TO_JSON(TO_VARIANT(v2)) = j2 AND POSITION(chr(0) IN v2) = 0 AND POSITION('�' IN v2) = 0 THEN v2 END AS w2
            , CASE WHEN TO_JSON(TO_VARIANT(v3)) = j3 AND POSITION(chr(0) IN v3) = 0 AND POSITION('�' IN v3) = 0 THEN v3 END AS w3
            , CASE WHEN TO_JSON(TO_VARIANT(v4)) = j4 AND POSITION(chr(0) IN v4) = 0 AND POSITION('�' IN v4) = 0 THEN v4 END AS w4
            , CASE WHEN TO_JSON(TO_VARIANT(v18)) = j18 AND POSITION(chr(0) IN v18) = 0 AND POSITION('�' IN v18) = 0 THEN v18 END AS w18
            , CASE WHEN TO_JSON(TO_VARIANT(v19)) = j19 AND POSITION(chr(0) IN v19) = 0 AND POSITION('�' IN v19) = 0 THEN v19 END AS w19
        FROM (
            SELECT
                ROW_NUMBER() OVER (ORDER BY s.partition_key, s.sort_key, s.nth) AS n,
                s.partition_key, s.sort_key, s.position, s.changed_at, s.removed, s.nth
                , TO_JSON(GET(GET(s.image, 'Username'), 'S')) AS j0
                , CASE WHEN TYPEOF(GET(GET(s.image, 'Username'), 'S')) = 'VARCHAR' THEN CAST(GET(GET(s.image, 'Username'), 'S') AS VARCHAR) END AS v0
                , TO_JSON(GET(GET(s.image, 'TotalSpent'), 'N')) AS j1
                , CASE WHEN TYPEOF(GET(GET(s.image, 'TotalSpent'), 'N')) = 'VARCHAR' THEN CAST(GET(GET(s.image, 'TotalSpent'), 'N') AS VARCHAR) END AS v1
                , TO_JSON(GET(GET(GET(GET(GET(GET(s.image, 'Addresses'), 'M'), 'Home'), 'M'), 'City'), 'S')) AS j2
                , CASE WHEN TYPEOF(GET(GET(GET(GET(GET(GET(s.image, 'Addresses'), 'M'), 'Home'), 'M'), 'City'), 'S')) = 'VARCHAR' THEN CAST(GET(GET(GET(GET(GET(GET(s.image, 'Addresses'), 'M'), 'Home'), 'M'), 'City'), 'S') AS VARCHAR) END AS v2
                , TYPEOF(GET(GET(s.image, 'Type'), 'S')) AS k3
                , TO_JSON(GET(GET(s.image, 'Type'), 'S')) AS j3
                , CASE WHEN TYPEOF(GET(GET(s.image, 'Type'), 'S')) = 'VARCHAR' THEN CAST(GET(GET(s.image, 'Type'), 'S') AS VARCHAR) END AS v3
                , TYPEOF(GET(GET(s.image, 'Type'), 'N')) AS k4
                , TO_JSON(GET(GET(s.image, 'Type'), 'N')) AS j4
                , CASE WHEN TYPEOF(GET(GET(s.image, 'Type'), 'N')) = 'VARCHAR' THEN CAST(GET(GET(s.image, 'Type'), 'N') AS VARCHAR) END AS v4
                , TYPEOF(GET(GET(s.image, 'Type'), 'BOOL')) AS k5
                , CASE WHEN TYPEOF(GET(GET(s.image, 'Type'), 'BOOL')) = 'BOOLEAN' THEN CAST(GET(GET(s.image, 'Type'), 'BOOL') AS BOOLEAN) END AS b5
                , CASE WHEN TYPEOF(GET(GET(s.image, 'Username'), 'NULL')) = 'BOOLEAN' THEN CAST(GET(GET(s.image, 'Username'), 'NULL') AS BOOLEAN) END AS b6
                , CASE WHEN TYPEOF(GET(GET(s.image, 'TotalSpent'), 'NULL')) = 'BOOLEAN' THEN CAST(GET(GET(s.image, 'TotalSpent'), 'NULL') AS BOOLEAN) END AS b7
                , TYPEOF(GET(GET(s.image, 'PK'), 'S')) AS k8
                , TYPEOF(GET(GET(s.image, 'SK'), 'S')) AS k9
                , TYPEOF(GET(GET(s.image, 'Addresses'), 'M')) AS k10
                , TYPEOF(GET(GET(GET(GET(s.image, 'Addresses'), 'M'), 'Home'), 'M')) AS k11
                , TYPEOF(GET(GET(GET(GET(GET(s.image, 'Addresses'), 'M'), 'Home'), 'M'), 'City')) AS k12
                , CASE WHEN TYPEOF(GET(GET(GET(GET(GET(GET(s.image, 'Addresses'), 'M'), 'Home'), 'M'), 'City'), 'NULL')) = 'BOOLEAN' THEN CAST(GET(GET(GET(GET(GET(GET(s.image, 'Addresses'), 'M'), 'Home'), 'M'), 'City'), 'NULL') AS BOOLEAN) END AS b13
                , TO_JSON(GET(s.image, 'Addresses')) AS j14
                , TYPEOF(GET(s.image, 'Addresses')) AS k14
                , TO_JSON(GET(s.image, 'It''s "it"')) AS j15
                , TYPEOF(GET(s.image, 'It''s "it"')) AS k15
                , CASE WHEN TYPEOF(s.image) = 'OBJECT' THEN ARRAY_SIZE(OBJECT_KEYS(s.image)) END AS m16
                , CASE WHEN TYPEOF(GET(GET(s.image, 'Addresses'), 'NULL')) = 'BOOLEAN' THEN CAST(GET(GET(s.image, 'Addresses'), 'NULL') AS BOOLEAN) END AS b17
                , CASE WHEN TYPEOF(GET(s.image, 'Addresses')) = 'OBJECT' THEN ARRAY_SIZE(OBJECT_KEYS(GET(s.image, 'Addresses'))) END AS m14
                , TO_JSON(GET(GET(s.image, 'select'), 'N')) AS j18
                , CASE WHEN TYPEOF(GET(GET(s.image, 'select'), 'N')) = 'VARCHAR' THEN CAST(GET(GET(s.image, 'select'), 'N') AS VARCHAR) END AS v18
                , TO_JSON(GET(GET(s.image, 'CreatedAt'), 'S')) AS j19
                , CASE WHEN TYPEOF(GET(GET(s.image, 'CreatedAt'), 'S')) = 'VARCHAR' THEN CAST(GET(GET(s.image, 'CreatedAt'), 'S') AS VARCHAR) END AS v19
                , CASE WHEN TYPEOF(GET(GET(s.image, 'Paid'), 'BOOL')) = 'BOOLEAN' THEN CAST(GET(GET(s.image, 'Paid'), 'BOOL') AS BOOLEAN) END AS b20
                , CASE WHEN TYPEOF(GET(GET(s.image, 'select'), 'NULL')) = 'BOOLEAN' THEN CAST(GET(GET(s.image, 'select'), 'NULL') AS BOOLEAN) END AS b21
                , CASE WHEN TYPEOF(GET(GET(s.image, 'CreatedAt'), 'NULL')) = 'BOOLEAN' THEN CAST(GET(GET(s.image, 'CreatedAt'), 'NULL') AS BOOLEAN) END AS b22
                , CASE WHEN TYPEOF(GET(GET(s.image, 'Paid'), 'NULL')) = 'BOOLEAN' THEN CAST(GET(GET(s.image, 'Paid'), 'NULL') AS BOOLEAN) END AS b23
                , CASE WHEN TYPEOF(GET(GET(s.image, 'Token'), 'NULL')) = 'BOOLEAN' THEN CAST(GET(GET(s.image, 'Token'), 'NULL') AS BOOLEAN) END AS b24
            FROM _cdc_newest AS s
        ) AS s
    ) AS s
) AS s;

-- [count rows]
-- How many keys there are, whether a row of any target is in doubt, and the time of the newest change.
SELECT
    count_if(s.nth = 1),
    count_if(NOT s.removed AND NOT s.takes_0 AND NOT s.takes_1 AND s.entity_doubt),
    max(s.changed_at)
    , count_if(s.doubt_0)
    , count_if(s.doubt_1)
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
        AND (s.changed_at IS NOT DISTINCT FROM o.changed_at)
        AND (s.entity IS NOT DISTINCT FROM o.entity)
        AND s.takes_0 = o.takes_0
        AND (s.rescued_0 IS NOT DISTINCT FROM o.rescued_0)
        AND (s.t0_c0 IS NOT DISTINCT FROM o.t0_c0)
        AND (s.t0_c1 IS NOT DISTINCT FROM o.t0_c1)
        AND (s.t0_c2 IS NOT DISTINCT FROM o.t0_c2)
        AND s.takes_1 = o.takes_1
        AND (s.rescued_1 IS NOT DISTINCT FROM o.rescued_1)
        AND (s.t1_c0 IS NOT DISTINCT FROM o.t1_c0)
        AND (s.t1_c1 IS NOT DISTINCT FROM o.t1_c1)
        AND (s.t1_c2 IS NOT DISTINCT FROM o.t1_c2)
        AND (s.t1_c3 IS NOT DISTINCT FROM o.t1_c3)
    );

-- [create _cdc_keys]
-- What the merge has to know of each key: its newest change, whether it removes, and which target takes it.
CREATE TEMPORARY TABLE _cdc_keys (
    n BIGINT,
    partition_key VARCHAR,
    sort_key VARCHAR,
    position VARCHAR,
    changed_at TIMESTAMP_TZ,
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
    rescued VARCHAR
    , c0 VARCHAR
    , c1 VARCHAR
    , c2 VARCHAR
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
    rescued VARCHAR
    , c0 NUMERIC(38, 0)
    , c1 TIMESTAMP_TZ
    , c2 BOOLEAN
    , c3 BINARY
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

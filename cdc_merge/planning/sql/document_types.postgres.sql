-- The attributes of some documents, each with a type it has there.
SELECT DISTINCT e.key, jsonb_typeof(e.value)
FROM (SELECT {{ document }} AS document FROM {{ table }} LIMIT {{ sampled }}) AS few
CROSS JOIN LATERAL jsonb_each(
    CASE WHEN jsonb_typeof(few.document) = 'object' THEN few.document ELSE CAST('{}' AS jsonb) END
) AS e

-- The attributes of some documents, each with a type it has there.
SELECT DISTINCT attribute, json_type(document, '/' || replace(replace(attribute, '~', '~0'), '/', '~1'))
FROM (
    SELECT document, unnest(json_keys(document)) AS attribute
    FROM (SELECT {{ document }} AS document FROM {{ table }} LIMIT {{ sampled }}) AS few
    WHERE json_type(document) = 'OBJECT'
) AS named

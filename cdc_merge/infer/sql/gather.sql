-- The key, the position and the image of each line of one portion. What has no key or no place in an order is unusable
-- and only counted; a delete without an old image leaves its key only.
INSERT INTO fresh
SELECT
    object_number,
    CASE WHEN {{ has_key }} THEN md5_number({{ key_text }}) END AS key,
    {{ position }} AS position,
    {{ image }} AS image,
    {{ source_table }} AS source_table
FROM (SELECT object_number, line, json_extract_string(line, {{ pointers }}) AS v FROM lines)

-- The keys of the items in one portion of an export. There is one of each, so all of them are the newest.
INSERT INTO latest
SELECT
    CAST({{ chunk }} AS BIGINT) * 4294967296 + idx AS n,
    {{ partition_key }} AS partition_key,
    {{ sort_key }} AS sort_key,
    '' AS position,
    {{ chunk }} AS chunk,
    idx
FROM (SELECT idx, json_extract_string(line, {{ pointers }}) AS v FROM lines)

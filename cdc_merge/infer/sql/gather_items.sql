-- Exported items: there is one of each key, so nothing needs to be compared. A line without an item is unusable.
INSERT INTO fresh
SELECT
    object_number,
    CASE WHEN starts_with(image, '{"') THEN 0 END AS key,
    '' AS position,
    image,
    NULL AS source_table
FROM (SELECT object_number, CAST(json_extract(line, '/Item') AS VARCHAR) AS image FROM lines)

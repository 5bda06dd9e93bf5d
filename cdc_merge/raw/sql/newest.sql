INSERT INTO _cdc_newest (partition_key, sort_key, position, removed, changed_at, nth, image)
SELECT partition_key, sort_key, position, removed, changed_at, nth, image
FROM (
    SELECT
        s.*,
        RANK() OVER (PARTITION BY s.partition_key, s.sort_key ORDER BY s.position DESC) AS age,
        ROW_NUMBER() OVER (PARTITION BY s.partition_key, s.sort_key ORDER BY s.position DESC) AS nth
    FROM _cdc_changes AS s
) AS ranked
WHERE age = 1

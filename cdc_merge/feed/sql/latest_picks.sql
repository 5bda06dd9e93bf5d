-- The newest change of each key, and for some targets the newest one that counts for them, where that is another.
CREATE OR REPLACE TABLE latest AS
SELECT n, partition_key, sort_key, position, line.chunk AS chunk, line.idx AS idx, CAST(NULL AS INTEGER) AS target, n AS main
FROM newest
{% for pick in picks %}
UNION ALL
SELECT
    n + {{ pick.first }} AS n, partition_key, sort_key, position_{{ pick.number }} AS position,
    line_{{ pick.number }}.chunk AS chunk, line_{{ pick.number }}.idx AS idx, {{ pick.number }} AS target, n AS main
FROM newest
WHERE position_{{ pick.number }} < position
{% endfor %}

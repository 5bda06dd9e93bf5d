-- How many rows each bucket of keys has in the export, and what the hashes of whole rows come to.
CREATE TEMPORARY TABLE _cdc_exported_{{ target.number }} AS
SELECT
    {{ staged_key_hash }} % {{ buckets }} AS bucket,
    count(*) AS rows,
    sum(hash({% for key in target.keys %}s.k{{ loop.index0 }}, {% endfor %}{% if target.is_each %}CAST(s.place AS BIGINT), {% endif %}s.h)) AS total
FROM _cdc_hashed_{{ target.number }} AS s
GROUP BY bucket

-- The same of the target's rows.
CREATE TEMPORARY TABLE _cdc_here_{{ target.number }} AS
SELECT
    {{ row_key_hash }} % {{ buckets }} AS bucket,
    count(*) AS rows,
    sum(hash({% for key in target.keys %}t.{{ key.name }}, {% endfor %}{% if target.is_each %}CAST(t._cdc_index AS BIGINT), {% endif %}{{ row_hash }})) AS total
FROM {{ target.table }} AS t
GROUP BY bucket

-- Nearly all rows are the same, and equal values have equal hashes: so whole rows are looked at only where the hashes
-- differ, and a join of keys and hashes is small enough to stay in memory far longer.
{% if part %}INSERT INTO _cdc_suspects_{{ target.number }}{% else %}CREATE TEMPORARY TABLE _cdc_suspects_{{ target.number }} AS{% endif %}

SELECT
    s.n,
    t._cdc_row,
{% for key in target.keys %}
    coalesce(t.k{{ loop.index0 }}, s.k{{ loop.index0 }}) AS k{{ loop.index0 }},
{% endfor %}
    {% if target.is_each %}coalesce(t._cdc_index, s.place) AS place, {% endif %}w.k0 IS NOT NULL AS is_newer
FROM (
    SELECT *
    FROM _cdc_hashed_{{ target.number }} AS s
    WHERE TRUE
{% if parts > 1 %}
        AND {{ staged_key_hash }} % {{ parts }} = {{ part }}
{% endif %}
{% if buckets %}
        -- They are all of these; but DuckDB reckons that a condition leaves a fifth, and must do so on both sides to hold
        -- the smaller one in memory.
        AND {{ staged_key_hash }} % {{ buckets }} IN (SELECT b.bucket FROM _cdc_buckets_{{ target.number }} AS b)
{% endif %}
) AS s
FULL JOIN (
    SELECT {% for key in target.keys %}t.{{ key.name }} AS k{{ loop.index0 }}, {% endfor %}{% if is_partial %}t._cdc_changed_at, {% endif %}{% if target.is_each %}t._cdc_index, {% endif %}t.{{ row_address }} AS _cdc_row, {{ row_hash }} AS h
    FROM {{ target.table }} AS t
    WHERE TRUE
{% if parts > 1 %}
        AND {{ row_key_hash }} % {{ parts }} = {{ part }}
{% endif %}
{% if buckets %}
        AND {{ row_key_hash }} % {{ buckets }} IN (SELECT b.bucket FROM _cdc_buckets_{{ target.number }} AS b)
{% endif %}
) AS t
    ON {% for key in target.keys %}t.k{{ loop.index0 }} = s.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}{% if target.is_each %} AND t._cdc_index = s.place{% endif %}

LEFT JOIN _cdc_newer AS w
    ON {% for key in target.keys %}w.k{{ loop.index0 }} = coalesce(t.k{{ loop.index0 }}, s.k{{ loop.index0 }}){% if not loop.last %} AND {% endif %}{% endfor %}

{% if is_partial and target.is_each %}
-- The item is in the export, but has no element in this place any more.
LEFT JOIN (SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %} FROM _cdc_keys AS s) AS e
    ON {% for key in target.keys %}e.k{{ loop.index0 }} = t.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}

{% endif %}
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    AND (w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL OR t.h <> s.h)
{% if is_partial %}
    -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
    -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    AND (s.k0 IS NOT NULL{% if target.is_each %} OR e.k0 IS NOT NULL{% endif %} OR (t._cdc_changed_at > {{ verified }} AND w.k0 IS NULL))
{% endif %}

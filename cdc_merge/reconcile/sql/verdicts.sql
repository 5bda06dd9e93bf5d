-- One target beside the export: every row that is not the same in both, by its key.
CREATE TEMPORARY TABLE _cdc_verdicts_{{ target.number }} AS
SELECT
    s.n AS n,
    {% if target.is_each %}coalesce(t._cdc_index, s.element_place) AS place,
    {% endif %}t._cdc_row AS address,
{% for key in target.keys %}
    coalesce(t.{{ key.name }}, s.k{{ loop.index0 }}) AS k{{ loop.index0 }},
{% endfor %}
    CASE
        WHEN w.k0 IS NOT NULL THEN 'newer'
        WHEN t._cdc_row IS NULL THEN 'missing'
{% if target.is_soft and target.has_deleted_at %}
        -- It is marked already.
        WHEN s.n IS NULL AND t._cdc_deleted_at IS NOT NULL THEN 'kept'
{% endif %}
{% if target.spares_extra %}
        -- Deletes do not count here, or not all of them: only an item that is there, and not taken, shows that a row is extra.
        WHEN s.n IS NULL AND NOT EXISTS (
            SELECT 1
            FROM _cdc_keys AS s
            WHERE NOT s.removed
{% for key in target.keys %}
                AND {{ key.staged }} = t.{{ key.name }}
{% endfor %}
        ) THEN 'kept'
{% endif %}
        WHEN s.n IS NULL THEN 'extra'
        ELSE 'different'
    END AS verdict,
    {{ differing }} AS differing
FROM (
    SELECT
{% for key in target.keys %}
        {{ key.staged }} AS k{{ loop.index0 }},
{% endfor %}
        r.*
    FROM _cdc_keys AS s
    {% if is_partial %}LEFT {% endif %}JOIN _cdc_rows_{{ target.number }} AS r ON r.n = s.n
) AS s
FULL JOIN (SELECT t.{{ row_address }} AS _cdc_row, t.* FROM {{ target.table }} AS t) AS t
    ON {% for key in target.keys %}t.{{ key.name }} = s.k{{ loop.index0 }}{% if not loop.last %}

    AND {% endif %}{% endfor %}{% if target.is_each %}

    AND t._cdc_index = s.element_place{% endif %}

LEFT JOIN _cdc_newer AS w
    ON {% for key in target.keys %}w.k{{ loop.index0 }} = coalesce(t.{{ key.name }}, s.k{{ loop.index0 }}){% if not loop.last %}

    AND {% endif %}{% endfor %}

{% if is_partial and target.is_each %}
-- The item is in the export, but has no element in this place any more.
LEFT JOIN (SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %} FROM _cdc_keys AS s) AS e
    ON {% for key in target.keys %}e.k{{ loop.index0 }} = t.{{ key.name }}{% if not loop.last %} AND {% endif %}{% endfor %}

{% endif %}
WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
{% if is_partial %}
    -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
    -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    AND (s.k0 IS NOT NULL{% if target.is_each %} OR e.k0 IS NOT NULL{% endif %} OR (t._cdc_changed_at > {{ verified }} AND w.k0 IS NULL))
{% endif %}
    AND (
        w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL
{% for column in columns %}
        OR NOT {{ column.same }}
{% endfor %}
    )

-- One target beside the export: every row that is not the same in both, by its key. The keys of both sides are joined
-- first, since a full join takes no columns of semi-structured data.
CREATE TEMPORARY TABLE _cdc_verdicts_{{ target.number }} AS
WITH pairs AS (
    SELECT
        s.n,
        t._cdc_row,
{% for key in target.keys %}
        coalesce(t.k{{ loop.index0 }}, s.k{{ loop.index0 }}) AS k{{ loop.index0 }},
{% endfor %}
{% if target.is_each %}
        coalesce(t.place, s.place) AS place,
{% endif %}
        w.k0 IS NOT NULL AS is_newer
    FROM (
        SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}, {% endfor %}{% if target.is_each %}r.element_place AS place, {% endif %}r.n
        FROM _cdc_keys AS s
        {% if is_partial %}LEFT {% endif %}JOIN _cdc_rows_{{ target.number }} AS r ON r.n = s.n
    ) AS s
    FULL JOIN (
        SELECT {% for key in target.keys %}t.{{ key.name }} AS k{{ loop.index0 }}, {% endfor %}{% if target.is_each %}t._cdc_index AS place, {% endif %}{% if is_partial %}max(t._cdc_changed_at) AS changed_at, {% endif %}1 AS _cdc_row
        FROM {{ target.table }} AS t
        GROUP BY {% for key in target.keys %}t.{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, t._cdc_index{% endif %}

    ) AS t
        ON {% for key in target.keys %}t.k{{ loop.index0 }} = s.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}{% if target.is_each %} AND t.place = s.place{% endif %}

    LEFT JOIN _cdc_newer AS w
        ON {% for key in target.keys %}w.k{{ loop.index0 }} = coalesce(t.k{{ loop.index0 }}, s.k{{ loop.index0 }}){% if not loop.last %} AND {% endif %}{% endfor %}

{% if is_partial and target.is_each %}
    -- The item is in the export, but has no element in this place any more.
    LEFT JOIN (SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %} FROM _cdc_keys AS s) AS e
        ON {% for key in target.keys %}e.k{{ loop.index0 }} = t.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}

{% endif %}
    WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
{% if is_partial %}
        -- It has every key that changed since, except those that came and went meanwhile: rows of these are left over.
        -- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
        AND (s.k0 IS NOT NULL{% if target.is_each %} OR e.k0 IS NOT NULL{% endif %} OR (t.changed_at > {{ verified }} AND w.k0 IS NULL))
{% endif %}
)
SELECT
    x.n AS n,
{% if target.is_each %}
    x.place AS place,
{% endif %}
    x._cdc_row AS address,
{% for key in target.keys %}
    x.k{{ loop.index0 }} AS k{{ loop.index0 }},
{% endfor %}
    CASE
        WHEN x.is_newer THEN 'newer'
        WHEN x._cdc_row IS NULL THEN 'missing'
{% if target.is_soft and target.has_deleted_at %}
        -- It is marked already.
        WHEN x.n IS NULL AND t._cdc_deleted_at IS NOT NULL THEN 'kept'
{% endif %}
{% if target.spares_extra %}
        -- Deletes do not count here, or not all of them: only an item that is there, and not taken, shows that a row is extra.
        WHEN x.n IS NULL AND l.k0 IS NULL THEN 'kept'
{% endif %}
        WHEN x.n IS NULL THEN 'extra'
        ELSE 'different'
    END AS verdict,
    {{ differing }} AS differing
FROM pairs AS x
LEFT JOIN {{ target.table }} AS t
    ON {% for key in target.keys %}t.{{ key.name }} = x.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}{% if target.is_each %} AND t._cdc_index = x.place{% endif %}

LEFT JOIN _cdc_rows_{{ target.number }} AS s
    ON s.n = x.n{% if target.is_each %} AND s.element_place = x.place{% endif %}

{% if target.spares_extra %}
LEFT JOIN (
    SELECT DISTINCT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

    FROM _cdc_keys AS s
    WHERE NOT s.removed
) AS l
    ON {% for key in target.keys %}l.k{{ loop.index0 }} = x.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}

{% endif %}
WHERE x.is_newer OR x._cdc_row IS NULL OR x.n IS NULL
{% for column in columns %}
    OR NOT {{ column.same }}
{% endfor %}

-- One target beside the export: the rows that only one of both has.
CREATE TEMPORARY TABLE _cdc_verdicts_{{ target.number }} AS
SELECT
    x.n AS n,
    {% if target.is_each %}x.place AS place,
    {% endif %}x._cdc_row AS address,
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
        WHEN x.n IS NULL AND NOT EXISTS (
            SELECT 1
            FROM _cdc_keys AS s
            WHERE NOT s.removed
{% for key in target.keys %}
                AND {{ key.staged }} = t.{{ key.name }}
{% endfor %}
        ) THEN 'kept'
{% endif %}
        ELSE 'extra'
    END AS verdict,
    CAST('' AS VARCHAR) AS differing
FROM _cdc_suspects_{{ target.number }} AS x
{% if target.spares_extra or (target.is_soft and target.has_deleted_at) %}
LEFT JOIN {{ target.table }} AS t ON t.{{ row_address }} = x._cdc_row
{% endif %}
WHERE x._cdc_row IS NULL OR x.n IS NULL

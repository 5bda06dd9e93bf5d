-- Keys whose last known change, in any table of the source or as a tombstone, came after the time the export can
-- vouch for. The feed knows them better. A change without a time may be that new.
CREATE TEMPORARY TABLE _cdc_newer AS
SELECT DISTINCT k0{% if key_count > 1 %}, k1{% endif %}

FROM (
{% for table in tables %}
    SELECT {% for key in table.keys %}t.{{ key.name }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

    FROM {{ table.table }} AS t
    WHERE coalesce(t._cdc_changed_at > {{ floor }}, TRUE)
    UNION ALL
{% endfor %}
    SELECT {% for key in tables[0].keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

    FROM {{ tombstones }} AS s
    WHERE s.source = {{ source }} AND coalesce(s.changed_at > {{ floor }}, TRUE)
) AS changed

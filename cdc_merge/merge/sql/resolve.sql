-- For each staged key: what the warehouse knows of it, and for each target whether the change is accepted there.
-- A change is stale where its time is at or before the target's floor, where the target's own row is as new or
-- newer, or where a sibling's row or the tombstone is newer. (An equal position in a sibling does not stop it, so
-- that a target added later can be filled by replay.)
CREATE TEMPORARY TABLE _cdc_resolved AS
SELECT
    known.*
{% for target in targets %}
    , (
        coalesce(known.changed_at > {{ target.floor }}, TRUE)
        AND coalesce(known.own_{{ loop.index0 }} < known.position, TRUE)
        AND coalesce(known.tombstone <= known.position, TRUE)
{% for sibling in targets if sibling is not sameas target %}
        AND coalesce(known.own_{{ targets.index(sibling) }} <= known.position, TRUE)
{% endfor %}
    ) AS accepted_{{ loop.index0 }}
{% endfor %}
FROM (
    SELECT
        s.*
        , ts.position AS tombstone
{% for target in targets %}
        , t{{ loop.index0 }}._cdc_position AS own_{{ loop.index0 }}
        , t{{ loop.index0 }}.{{ row_address }} AS row_{{ loop.index0 }}
{% endfor %}
    FROM _cdc_keys AS s
    LEFT JOIN {{ tombstones }} AS ts
        ON ts.source = {{ source }}
        AND ts.partition_key = s.partition_key
        AND ts.sort_key = s.sort_key
{% for target in targets %}
    LEFT JOIN {{ target.table }} AS t{{ loop.index0 }}
        ON {% for key in target.keys %}t{{ targets.index(target) }}.{{ key.name }} = {{ key.staged }}{% if not loop.last %}

        AND {% endif %}{% endfor %}

{% endfor %}
) AS known

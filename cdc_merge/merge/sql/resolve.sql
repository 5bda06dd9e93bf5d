-- For each staged key: what the warehouse knows of it, and for each target whether the change is accepted there.
-- A change is stale where its time is at or before the target's floor, where the target's own row is as new or
-- newer, or where a sibling's row or the tombstone is newer. (An equal position in a sibling does not stop it, so
-- that a target added later can be filled by replay.) Siblings are also the tables of targets that the
-- configuration no longer has.
CREATE TEMPORARY TABLE _cdc_resolved AS
SELECT
    known.*
{% for target in targets %}
    , (
        -- Read here, under the lock: a reconcile may have raised it while this batch was decoded.
        coalesce(
            known.changed_at > (
                SELECT f.floor_at FROM {{ targets_table }} AS f WHERE f.source = {{ source }} AND f.target = {{ target.label }}
            ), TRUE
        )
        AND coalesce(known.own_{{ target.number }} < known.position, TRUE)
        AND coalesce(known.tombstone <= known.position, TRUE)
{% for sibling in tables if sibling.number != target.number %}
        AND coalesce(known.own_{{ sibling.number }} <= known.position, TRUE)
{% endfor %}
    ) AS accepted_{{ target.number }}
{% endfor %}
FROM (
    SELECT
        s.*
        , ts.position AS tombstone
{% for table in tables %}
{% if dialect.indexes_key and not table.is_each %}
        , t{{ table.number }}._cdc_position AS own_{{ table.number }}
        , t{{ table.number }}.{{ row_address }} AS row_{{ table.number }}
{% else %}
        , t{{ table.number }}.own AS own_{{ table.number }}
        , t{{ table.number }}.address AS row_{{ table.number }}
        , t{{ table.number }}.copies AS copies_{{ table.number }}
{% endif %}
{% endfor %}
    FROM _cdc_keys AS s
    LEFT JOIN {{ tombstones }} AS ts
        ON ts.source = {{ source }}
        AND ts.partition_key = s.partition_key
        AND ts.sort_key = s.sort_key
{% for table in tables %}
{% if dialect.indexes_key and not table.is_each %}
    LEFT JOIN {{ table.table }} AS t{{ table.number }}
        ON {% for key in table.keys %}t{{ table.number }}.{{ key.name }} = {{ key.staged }}{% if not loop.last %}

        AND {% endif %}{% endfor %}

{% else %}
{% if table.is_each %}
    -- An item has many rows here, all of its newest change.
{% else %}
    -- No primary key keeps a row from being there twice: one row a key comes out of this, whatever was done by hand.
{% endif %}
    LEFT JOIN (
        SELECT s.n, max(t._cdc_position) AS own, min(t.{{ row_address }}) AS address, count(*) AS copies
        FROM _cdc_keys AS s
        JOIN {{ table.table }} AS t
            ON {% for key in table.keys %}t.{{ key.name }} = {{ key.staged }}{% if not loop.last %}

            AND {% endif %}{% endfor %}

        GROUP BY s.n
    ) AS t{{ table.number }} ON t{{ table.number }}.n = s.n
{% endif %}
{% endfor %}
) AS known

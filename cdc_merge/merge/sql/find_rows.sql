{% set is_grouped = groups or table.is_each %}
{% if table.is_each %}
        -- An item has many rows here, all of its newest change.
{% elif groups %}
        -- No primary key keeps a row from being there twice: one row a key comes out of this, whatever was done by hand.
{% else %}
        -- Looked for from the keys: a join with the table itself may take the table into memory where there are several.
{% endif %}
{% if is_grouped %}
        SELECT s.n, max(t._cdc_position) AS own{% if row_address and not table.is_each %}, min(t.{{ row_address }}) AS address, count(*) AS copies{% endif %}{% if is_picked %}, max(t._cdc_changed_at) AS changed_at{% if table.is_soft %}, max(t._cdc_deleted_at) AS deleted_at{% endif %}{% endif %}

{% else %}
        SELECT s.n, t._cdc_position AS own, t.{{ row_address }} AS address{% if is_picked %}, t._cdc_changed_at AS changed_at{% if table.is_soft %}, t._cdc_deleted_at AS deleted_at{% endif %}{% endif %}

{% endif %}
        FROM _cdc_keys AS s
        JOIN {{ table.table }} AS t
            ON {% for key in table.keys %}t.{{ key.name }} = {{ key.staged }}{% if not loop.last %}

            AND {% endif %}{% endfor %}

{% if key_range %}
        WHERE t.{{ table.keys[0].name | as_bytes }} BETWEEN {{ key_range.low }} AND {{ key_range.high }}
{% endif %}
{% if is_grouped %}
        GROUP BY s.n
{% endif %}

-- For each staged key: what the warehouse knows of it, and for each target whether the change is accepted there.
-- A change is stale where its time is at or before the target's floor, where the target's own row is as new or
-- newer, or where a sibling's row or the tombstone is newer. (An equal position in a sibling does not stop it, so
-- that a target added later can be filled by replay.) Siblings are also the tables of targets that the
-- configuration no longer has.
CREATE TEMPORARY TABLE _cdc_resolved AS
SELECT
{% if is_picked %}
    known.*
{% else %}
    -- Of the rows only what is asked for afterwards: their positions are as long as all the rest.
    known.n, known.partition_key, known.sort_key, known.position, known.changed_at, known.removed, known.could, known.tombstone
{% endif %}
{% for target in targets %}
{% if not is_picked %}
    , known.takes_{{ target.number }}
{% if row_address and not target.is_each %}
    , known.row_{{ target.number }}
{% endif %}
{% if groups and row_address and not target.is_each %}
    , known.copies_{{ target.number }}
{% endif %}
    , coalesce(known.own_{{ target.number }} = known.position, FALSE) AS is_same_{{ target.number }}
{% endif %}
    , known.own_{{ target.number }} IS NOT NULL AS is_there_{{ target.number }}
{% if target.is_soft %}
    -- Whatever happened since, the newest image that the target takes is its row: it may be that of a deleted item.
    , (
        known.n{{ target.suffix }} IS NOT NULL
        AND known.open_{{ target.number }}
        AND coalesce(known.own_{{ target.number }} < known.position{{ target.suffix }}, TRUE)
        -- But what was known of a forgotten item must not come back at all, whatever has become of its tombstone.
        AND coalesce(known.forgotten < known.position{{ target.suffix }}, TRUE)
    ) AS accepted_{{ target.number }}
    -- The row stays, but its item is gone.
    , coalesce(
        NOT (
            known.n{{ target.suffix }} IS NOT NULL
            AND known.open_{{ target.number }}
            AND known.own_{{ target.number }} < known.position{{ target.suffix }}
        )
        AND known.can_mark_{{ target.number }}
        AND known.own_{{ target.number }} < known.{{ target.left }}
        AND known.{{ target.left }} > coalesce(known.position{{ target.suffix }}, '')
        AND (
            known.was_deleted_at_{{ target.number }} IS NULL
            OR known.was_deleted_at_{{ target.number }} <> known.deleted_at_{{ target.number }}
        ), FALSE
    ) AS marks_{{ target.number }}
{% elif target.is_picked %}
    -- Only what counts for this target can make a change stale.
    , (
        known.n{{ target.suffix }} IS NOT NULL
        AND known.open_{{ target.number }}
        AND coalesce(known.own_{{ target.number }} < known.position{{ target.suffix }}, TRUE)
        AND coalesce(known.{{ target.tombstone }} <= known.position{{ target.suffix }}, TRUE)
{% for sibling in tables if sibling.number != target.number %}
        AND coalesce(known.own_{{ sibling.number }} <= known.position{{ target.suffix }}, TRUE)
{% endfor %}
    ) AS accepted_{{ target.number }}
{% else %}
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
{% endif %}
{% endfor %}
FROM (
{% if is_picked %}
    SELECT
        found.*
{% for target in targets if target.is_soft %}
        , CASE found.gone_{{ target.number }}
            WHEN found.{{ target.left }} THEN found.{{ target.left_at }}
            WHEN found.{{ target.tombstone }} THEN found.{{ target.tombstone_at }}
{% for sibling in tables if sibling.number != target.number %}
            WHEN found.own_{{ sibling.number }} THEN found.at_{{ sibling.number }}
{% endfor %}
        END AS deleted_at_{{ target.number }}
{% endfor %}
        , ({% for target in targets %}found.is_open_{{ target.number }}{% if not loop.last %} OR {% endif %}{% endfor %}) AS is_open
    FROM (
    SELECT
        learned.*
        -- Read here, under the lock: a reconcile may have raised them while this batch was decoded.
{% for target in targets %}
        , coalesce(learned.changed_at > (
            SELECT f.floor_at FROM {{ targets_table }} AS f WHERE f.source = {{ source }} AND f.target = {{ target.label }}
        ), TRUE) AS is_open_{{ target.number }}
{% if target.is_picked %}
        , coalesce(learned.changed_at{{ target.suffix }} > (
            SELECT f.floor_at FROM {{ targets_table }} AS f WHERE f.source = {{ source }} AND f.target = {{ target.label }}
        ), TRUE) AS open_{{ target.number }}
{% endif %}
{% if target.is_soft %}
        , coalesce(learned.{{ target.left_at }} > (
            SELECT f.floor_at FROM {{ targets_table }} AS f WHERE f.source = {{ source }} AND f.target = {{ target.label }}
        ), TRUE) AS can_mark_{{ target.number }}
        -- The newest change that says the item is not there, or not in this table.
        , {{ greatest }}(
            CASE WHEN learned.{{ target.left }} > coalesce(learned.position{{ target.suffix }}, '') THEN learned.{{ target.left }} END
            , learned.{{ target.tombstone }}
{% for sibling in tables if sibling.number != target.number %}
            , learned.own_{{ sibling.number }}
{% endfor %}
        ) AS gone_{{ target.number }}
{% endif %}
{% endfor %}
    FROM (
{% endif %}
    SELECT
        s.*
        , ts.position AS tombstone
{% if is_picked %}
        , ts.changed_at AS tombstone_at
        , CASE WHEN ts.position IS NOT NULL THEN coalesce(ts.upsert_position, ts.position) END AS tombstone_upsert
        , CASE WHEN ts.position IS NOT NULL THEN coalesce(ts.kept_position, ts.position) END AS tombstone_kept
        , CASE WHEN ts.kept_position IS NULL THEN ts.changed_at ELSE ts.kept_at END AS tombstone_kept_at
{% for table in tables %}
        , t{{ table.number }}.{% if dialect.indexes_key and not table.is_each %}_cdc_changed_at{% else %}changed_at{% endif %} AS at_{{ table.number }}
{% endfor %}
{% if has_soft %}
        , fe.position AS forgotten
{% endif %}
{% for target in targets if target.is_soft %}
        , t{{ target.number }}.{% if dialect.indexes_key %}_cdc_deleted_at{% else %}deleted_at{% endif %} AS was_deleted_at_{{ target.number }}
{% endfor %}
{% endif %}
{% for table in tables %}
{% if dialect.indexes_key and not table.is_each %}
        , t{{ table.number }}._cdc_position AS own_{{ table.number }}
        , t{{ table.number }}.{{ row_address }} AS row_{{ table.number }}
{% else %}
        , t{{ table.number }}.own AS own_{{ table.number }}
{% if row_address and not table.is_each %}
        , t{{ table.number }}.address AS row_{{ table.number }}
{% if groups %}
        , t{{ table.number }}.copies AS copies_{{ table.number }}
{% endif %}
{% endif %}
{% endif %}
{% endfor %}
{% if dialect.indexes_key %}
    -- They lie in this order as a rule, so it costs little, and the keys' index can be walked along instead of hashed.
    FROM (SELECT * FROM _cdc_keys ORDER BY partition_key, sort_key) AS s
{% else %}
    FROM _cdc_keys AS s
{% endif %}
    LEFT JOIN {{ tombstones }} AS ts
        ON ts.source = {{ source }}
        AND ts.partition_key = s.partition_key
        AND ts.sort_key = s.sort_key
{% if has_soft %}
    LEFT JOIN {{ history_events }} AS fe
        ON fe.source = {{ source }}
        AND fe.target = '/forgotten'
        AND fe.partition_key = s.partition_key
        AND fe.sort_key = s.sort_key
{% endif %}
{% for table in tables %}
{% if dialect.indexes_key and not table.is_each %}
    LEFT JOIN {{ table.table }} AS t{{ table.number }}
        ON {% for key in table.keys %}t{{ table.number }}.{{ key.name }} = {{ key.staged }}{% if not loop.last %}

        AND {% endif %}{% endfor %}

{% if key_range %}
        -- Whatever became of the column's collation: the range is one of bytes.
        AND t{{ table.number }}.{{ table.keys[0].name | as_bytes }} BETWEEN {{ key_range.low }} AND {{ key_range.high }}
{% endif %}
{% else %}
    LEFT JOIN {{ found[table.number] }} AS t{{ table.number }} ON t{{ table.number }}.n = s.n
{% endif %}
{% endfor %}
{% if is_picked %}
    ) AS learned
    ) AS found
{% endif %}
) AS known
{% if is_checked %}
-- One more than there should be shows that rows are there twice. Those of several tables would multiply.
LIMIT (SELECT count(*) + 1 FROM _cdc_keys)
{% endif %}

-- Everything accepted leaves a trace: where no row bears the newest position known of a key, a tombstone does. Some
-- targets do not follow every delete, so it also says what counts for those: the rows that go were upserts, too.
INSERT INTO {{ tombstones }} (
    source, partition_key, sort_key, position, changed_at, upsert_position, kept_position, kept_at
)
SELECT
    {{ source }}, k.partition_key, k.sort_key, k.newest,
    CASE k.newest WHEN k.position THEN k.changed_at ELSE k.tombstone_at END,
    k.newest_upsert,
    k.newest_kept,
    CASE k.newest_kept
        WHEN k.kept_position THEN k.kept_at
        WHEN k.tombstone_kept THEN k.tombstone_kept_at
{% for table in tables %}
        WHEN k.own_{{ table.number }} THEN k.at_{{ table.number }}
{% endfor %}
    END
FROM (
    SELECT
        r.*,
        {{ greatest }}(r.tombstone, r.position) AS newest,
        {{ greatest }}(r.tombstone_upsert, r.upsert_position{% for table in tables %}, r.own_{{ table.number }}{% endfor %}, '') AS newest_upsert,
        {{ greatest }}(r.tombstone_kept, r.kept_position{% for table in tables %}, r.own_{{ table.number }}{% endfor %}, '') AS newest_kept
    FROM _cdc_resolved AS r
    -- A row or a tombstone of before its `where` was narrowed has a successor as well.
    WHERE (r.could OR r.tombstone IS NOT NULL{% for target in targets %} OR r.is_there_{{ target.number }}{% endfor %}) AND r.is_open
) AS k
WHERE k.newest > {{ greatest }}(
{% for target in targets %}
    CASE
        WHEN NOT k.accepted_{{ target.number }} THEN k.own_{{ target.number }}
        WHEN k.takes_{{ target.number }} THEN k.position{{ target.suffix }}
    END,
{% endfor %}
    ''
)

-- Every record, with its key and its place in the order of the key's changes. Where any of that cannot be told, `doubt`
-- says which part: then the worker decodes the batch, and finds out what the matter is.
INSERT INTO _cdc_changes (partition_key, sort_key, position, removed, changed_at, doubt, image)
SELECT
    partition_key,
    sort_key,
    position,
    event = 'REMOVE' AS removed,
    changed_at,
    CASE
        WHEN partition_key IS NULL OR sort_key IS NULL OR OCTET_LENGTH(partition_key) = 0 THEN 'key'
        WHEN event IS NULL THEN 'event'
        WHEN position IS NULL THEN 'position'
        WHEN {{ untimed }} THEN 'time'
        WHEN event <> 'REMOVE' AND coalesce({{ width }}, 0) = 0 THEN 'image'
{% if strangers %}
        WHEN {{ strangers }} THEN 'feed'
{% endif %}
    END AS doubt,
    image
FROM (
    SELECT
        s.*,
        {{ changed_at }} AS changed_at,
        CASE WHEN {{ is_sure }} THEN {{ position }} END AS position
    FROM (
        SELECT
            s.*,
            -- Without the precision the magnitude tells: seconds (Streams), milli- or microseconds (Kinesis).
            CASE
                WHEN {{ unit }} = 'MICROSECOND' AND OCTET_LENGTH({{ unit }}) = 11 THEN ticks
                WHEN {{ unit }} = 'MILLISECOND' AND OCTET_LENGTH({{ unit }}) = 11 AND ticks < 253402300800000 THEN ticks * 1000
                WHEN {{ unit }} IS NOT NULL THEN NULL
                WHEN ticks >= 100000000000000 THEN ticks
                WHEN ticks >= 100000000000 THEN ticks * 1000
                ELSE ticks * 1000000
            END AS micros
        FROM (
            SELECT
                s.*,
                {{ partition_key }} AS partition_key,
                {{ sort_key }} AS sort_key,
                CASE
                    WHEN {{ event }} IN ('INSERT', 'MODIFY', 'REMOVE') AND OCTET_LENGTH({{ event }}) = 6 THEN {{ event }}
                END AS event,
                {{ ticks }} AS ticks
            FROM (
                SELECT
                    s.*
{% for look in looks.whole %}
                    , {{ look.value }} AS {{ look.name }}
{% endfor %}
                FROM (
                    SELECT
                        {{ image }} AS image
{% for look in looks.first %}
                        , {{ look.value }} AS {{ look.name }}
{% endfor %}
                    FROM _cdc_raw AS r
                ) AS s
            ) AS s
        ) AS s
    ) AS s
) AS s

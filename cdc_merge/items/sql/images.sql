-- What one portion's changes of the item say: event, time, whether time to live removed it, and which targets take it.
SELECT
    idx, position, event_name,
    TRY(make_timestamptz(epoch_micros({{ created_at }}, {{ precision }}))) AS changed_at,
    {{ is_expiry }} AS is_expiry,
    coalesce(width, 0) > 0 AS has_image
{% for taken in takes %}
    , coalesce(event_name <> 'REMOVE' AND ({{ taken }}), FALSE) AS takes_{{ loop.index0 }}
{% endfor %}
FROM (
    SELECT *, {{ event_name }} AS event_name
    FROM (
        SELECT
            w.idx, w.position,
            json_extract_string(l.line, {{ pointers }}) AS v,
            len(json_keys(l.line, {{ image }})) AS width
        FROM wanted AS w
        JOIN lines AS l ON l.idx = w.idx
        WHERE w.chunk = {{ chunk }}
    )
)

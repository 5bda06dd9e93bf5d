-- One look into the lines of the winners: all texts that targets need, and which target takes the item.
CREATE OR REPLACE TEMP TABLE wide AS
SELECT
    *
{% for taken in takes %}
    , coalesce(NOT removed AND {{ taken }}, FALSE) AS takes_{{ loop.index0 }}
{% endfor %}
FROM (
    SELECT
        *,
        {{ event_name }} AS event_name,
        {{ event_name }} = 'REMOVE' AS removed
    FROM (
        SELECT
            n, idx, partition_key, sort_key, position,
            json_extract_string(line, {{ pointers }}) AS v,
            len(json_keys(line, '/dynamodb/NewImage')) AS width
        FROM winners
    )
)

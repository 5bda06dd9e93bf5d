-- All that the items of one portion of an export say, in one look: the keys, which target takes them, and the typed
-- columns there. Each item is there once, so all of them are the newest. `takes`, `clean`: as images.sql has them.
-- Values that nobody will read would take time and room.
INSERT INTO {{ table }} BY NAME
SELECT
    n, partition_key, sort_key, removed, could, unusable
{% for target in targets %}
    , takes_{{ target.number }}, clean_{{ target.number }}
{% for column in target.columns %}
    , CASE WHEN takes_{{ target.number }} AND clean_{{ target.number }} THEN {{ column.name }} END AS {{ column.name }}
{% endfor %}
{% endfor %}
FROM (
    SELECT
        *,
        {{ could }} AS could,
        {{ unusable }} AS unusable
{% for target in targets %}
        , coalesce(NOT removed AND {{ target.takes }}, FALSE) AS takes_{{ target.number }}
        , {{ target.clean }} AS clean_{{ target.number }}
{% endfor %}
    FROM (
        SELECT
            *,
            {{ event_name }} = 'REMOVE' AS removed,
            nullif({{ partition_key }}, '') AS partition_key,
            {{ sort_key }} AS sort_key
{% for target in targets %}
{% for column in target.columns %}
            , {{ column.value }} AS {{ column.name }}
{% endfor %}
{% endfor %}
        FROM (SELECT {{ first }} + idx AS n, v, width FROM {{ looked }})
    ) AS l
)

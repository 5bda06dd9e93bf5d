-- One look into the lines of the chosen changes: which target takes the item, and its typed columns there. A row is
-- clean for a target when each attribute of its image is in its columns, exactly: so many as the image has.
CREATE OR REPLACE {{ table }} AS
SELECT
    n, idx, event_name, removed, width,
    TRY(make_timestamptz(epoch_micros({{ created_at }}, {{ precision }}))) AS changed_at
{% for target in targets %}
    , coalesce(NOT removed AND {% if is_picked %}coalesce(target = {{ target.number }}, TRUE) AND {% endif %}{{ target.takes }}, FALSE) AS takes_{{ target.number }}
    , {{ target.clean }} AS clean_{{ target.number }}
{% if target.belongs %}
    , coalesce({{ target.belongs }}, FALSE) AS belongs_{{ target.number }}
{% endif %}
{% for column in target.columns %}
    , {{ column.name }}
{% endfor %}
{% endfor %}
FROM (
    SELECT
        *,
        {{ event_name }} AS event_name,
        {{ event_name }} = 'REMOVE' AS removed
{% for target in targets %}
{% for column in target.columns %}
        , {{ column.value }} AS {{ column.name }}
{% endfor %}
{% endfor %}
    FROM {{ looked }}
)

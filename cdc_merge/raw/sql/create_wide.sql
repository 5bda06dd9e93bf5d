-- What each newest change is to each target, with the target's columns.
CREATE TEMPORARY TABLE _cdc_wide (
    n BIGINT,
    partition_key {{ text }},
    sort_key {{ text }},
    position {{ text }},
    changed_at {{ moment }},
    removed BOOLEAN,
    nth BIGINT,
    entity {{ text }},
    entity_doubt BOOLEAN
{% for target in targets %}
    , takes_{{ target.number }} BOOLEAN
    , doubt_{{ target.number }} BOOLEAN
    , rescued_{{ target.number }} {{ text }}
{% for column in target.columns %}
    , {{ column.wide }} {{ column.type }}
{% endfor %}
{% endfor %}
)

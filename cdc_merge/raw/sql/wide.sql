-- One look into the images: which target takes the item, and its typed columns where they surely fit. A row is sure when
-- each attribute of its image is in its columns, exactly, or left over as it is: so many as the image has.
INSERT INTO _cdc_wide (
    n, partition_key, sort_key, position, changed_at, removed, nth, entity, entity_doubt
{% for target in targets %}
    , takes_{{ target.number }}, doubt_{{ target.number }}, rescued_{{ target.number }}
{% for column in target.columns %}
    , {{ column.wide }}
{% endfor %}
{% endfor %}
)
SELECT
    n, partition_key, sort_key, position, changed_at, removed, nth,
    {{ entity.answer }} AS entity,
    FALSE
{% for doubt in entity.doubts %}
        OR coalesce({{ doubt }}, TRUE)
{% endfor %}
    AS entity_doubt
{% for target in targets %}
    , takes_{{ target.number }}
    , NOT removed AND (
        takes_{{ target.number }} AND (
            coalesce({{ target.width }}, -1) <> {{ target.pinned }}
{% for held in target.held %}
                + CASE WHEN {{ held }} THEN 1 ELSE 0 END
{% endfor %}
{% for doubt in target.doubts %}
            OR coalesce({{ doubt }}, TRUE)
{% endfor %}
        )
{% for doubt in target.takes_doubts %}
        OR coalesce({{ doubt }}, TRUE)
{% endfor %}
    ) AS doubt_{{ target.number }}
    , {{ target.rescued }} AS rescued_{{ target.number }}
{% for column in target.columns %}
    , {{ column.wide }}
{% endfor %}
{% endfor %}
FROM (
    SELECT
        s.*
{% for target in targets %}
        , NOT s.removed AND {{ target.takes }} AS takes_{{ target.number }}
{% for column in target.columns %}
        , {{ column.value }} AS {{ column.wide }}
{% endfor %}
{% endfor %}
    FROM (
        SELECT
            s.*
{% for look in looks.whole %}
            , {{ look.value }} AS {{ look.name }}
{% endfor %}
        FROM (
            SELECT
                ROW_NUMBER() OVER (ORDER BY s.partition_key, s.sort_key, s.nth) AS n,
                s.partition_key, s.sort_key, s.position, s.changed_at, s.removed, s.nth
{% for look in looks.first %}
                , {{ look.value }} AS {{ look.name }}
{% endfor %}
            FROM _cdc_newest AS s
        ) AS s
    ) AS s
) AS s

-- Whether this session reads documents as the statements that follow need it: names with their case, texts byte for byte,
-- patterns that span lines. Each must be true.
SELECT
{% for question in questions %}
    coalesce({{ question }}, FALSE) AS q{{ loop.index }}{% if not loop.last %},{% endif %}

{% endfor %}
FROM (
    SELECT
        s.*
{% for look in looks.whole %}
        , {{ look.value }} AS {{ look.name }}
{% endfor %}
    FROM (
        SELECT
            1 AS n
{% for look in looks.first %}
            , {{ look.value }} AS {{ look.name }}
{% endfor %}
        FROM (SELECT {{ parsed }} AS document) AS r
    ) AS s
) AS s

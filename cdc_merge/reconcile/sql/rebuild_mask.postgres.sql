-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued.
UPDATE {{ table }}
SET
{% for column in columns %}
{% if column.mask == 'hash' %}
    {{ column.name }} = encode(sha256(convert_to({{ column.name }}, 'UTF8')), 'hex'),
{% elif column.mask == 'redact' %}
    {{ column.name }} = CASE WHEN {{ column.name }} IS NOT NULL THEN 'redacted' END,
{% else %}
    {{ column.name }} = NULL,
{% endif %}
{% endfor %}
{% if is_all or not attributes %}
    _cdc_rescued = {% if is_all %}NULL{% else %}_cdc_rescued{% endif %}

{% else %}
    _cdc_rescued = CASE
        WHEN {% for attribute in spelled %}strpos(CAST(_cdc_rescued AS text), {{ attribute }}) > 0{% if not loop.last %} OR {% endif %}{% endfor %}

        -- No function of Postgres takes the escape of U+0000, which is what is rescued here: so a word stands for it meanwhile.
        -- https://www.postgresql.org/docs/current/datatype-json.html
        THEN (
            SELECT CAST(replace(CAST(json_object_agg(r.key, r.value) AS text), '\ue000cdc-merge-nul', '\u0000') AS json)
            FROM json_each(CAST(replace(CAST(_cdc_rescued AS text), '\u0000', '\ue000cdc-merge-nul') AS json)) AS r
            WHERE r.key NOT IN ({% for attribute in attributes %}{{ attribute }}{% if not loop.last %}, {% endif %}{% endfor %})
        )
        ELSE _cdc_rescued
    END
{% endif %}
WHERE _cdc_rescued IS NOT NULL
{% for column in columns %}
    OR {{ column.name }} IS NOT NULL
{% endfor %}

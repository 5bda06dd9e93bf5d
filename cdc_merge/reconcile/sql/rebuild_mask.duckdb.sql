-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued.
UPDATE {{ table }}
SET
{% for column in columns %}
{% if column.mask == 'hash' %}
    {{ column.name }} = sha256({{ column.name }}),
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

        -- RFC 7396: a null takes the member away.
        THEN CAST(nullif(CAST(json_merge_patch(_cdc_rescued, {{ patch }}) AS text), '{}') AS JSON)
        ELSE _cdc_rescued
    END
{% endif %}
WHERE _cdc_rescued IS NOT NULL
{% for column in columns %}
    OR {{ column.name }} IS NOT NULL
{% endfor %}

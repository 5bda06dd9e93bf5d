-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued.
UPDATE {{ table }}
SET
{% for column, digest in columns %}
{% if column.mask == 'hash' %}
    {{ column.name }} = {{ digest }},
{% elif column.mask == 'redact' %}
    {{ column.name }} = CASE WHEN {{ column.name }} IS NOT NULL THEN 'redacted' END,
{% else %}
    {{ column.name }} = NULL,
{% endif %}
{% endfor %}
    _cdc_rescued = {{ rescued }}
WHERE _cdc_rescued IS NOT NULL
{% for column, _ in columns %}
    OR {{ column.name }} IS NOT NULL
{% endfor %}

-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued,
-- which stays without the masked attributes.
UPDATE {{ table }}
SET
{% for column, mask, digest in columns %}
{% if mask == 'hash' %}
    {{ column }} = {{ digest }},
{% elif mask == 'redact' %}
    {{ column }} = CASE WHEN {{ column }} IS NOT NULL THEN 'redacted' END,
{% else %}
    {{ column }} = NULL,
{% endif %}
{% endfor %}
    _cdc_rescued = {{ rescued }}
WHERE _cdc_rescued IS NOT NULL
{% for column, _, _ in columns %}
    OR {{ column }} IS NOT NULL
{% endfor %}

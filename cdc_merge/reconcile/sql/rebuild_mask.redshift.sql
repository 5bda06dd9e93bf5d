-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued.
-- https://docs.aws.amazon.com/redshift/latest/dg/SHA2.html
UPDATE {{ table }}
SET
{% for column in columns %}
{% if column.mask == 'hash' %}
    {{ column.name }} = sha2({{ column.name }}, 256),
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
        -- Nothing takes one member out of a SUPER, so all of the row goes with it.
        -- https://docs.aws.amazon.com/redshift/latest/dg/super-functions.html
        WHEN {% for attribute in spelled %}strpos(JSON_SERIALIZE(_cdc_rescued), {{ attribute }}) > 0{% if not loop.last %} OR {% endif %}{% endfor %}

        THEN NULL
        ELSE _cdc_rescued
    END
{% endif %}
WHERE _cdc_rescued IS NOT NULL
{% for column in columns %}
    OR {{ column.name }} IS NOT NULL
{% endfor %}

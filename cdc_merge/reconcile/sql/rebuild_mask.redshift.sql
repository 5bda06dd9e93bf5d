-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued.
UPDATE {{ table }}
SET
{% for column in columns %}
{% if column.mask == 'hash' %}
    -- https://docs.aws.amazon.com/redshift/latest/dg/SHA2.html
    {{ column.name }} = SHA2({{ column.name }}, 256),
{% elif column.mask == 'redact' %}
    {{ column.name }} = CASE WHEN {{ column.name }} IS NOT NULL THEN 'redacted' END,
{% else %}
    {{ column.name }} = NULL,
{% endif %}
{% endfor %}
{% if is_all or not attributes %}
    _cdc_rescued = {% if is_all %}NULL{% else %}_cdc_rescued{% endif %}

{% else %}
    -- Nothing takes a member out of a SUPER, and only so much of one can be looked at as text: so all of it goes.
    -- https://docs.aws.amazon.com/redshift/latest/dg/JSON_SERIALIZE.html
    _cdc_rescued = CASE
        WHEN JSON_SIZE(_cdc_rescued) > 65535 THEN NULL
        WHEN {% for attribute in spelled %}POSITION({{ attribute }} IN JSON_SERIALIZE(_cdc_rescued)) > 0{% if not loop.last %} OR {% endif %}{% endfor %} THEN NULL
        ELSE _cdc_rescued
    END
{% endif %}
WHERE _cdc_rescued IS NOT NULL
{% for column in columns %}
    OR {{ column.name }} IS NOT NULL
{% endfor %}

-- Typed access to the documents, with a column for each attribute seen in {{ sampled }} of them; shape it as you like. A
-- value of another type than its column is NULL.
CREATE VIEW {{ view }} AS
SELECT
{% for key in keys %}
    d.{{ key }}{% if not loop.last %},{% endif %}

{% endfor %}
{% for column in columns %}
{% if column.kind == "text" %}
    , CASE
        WHEN jsonb_typeof(d.{{ document }} -> {{ column.attribute }}) = 'string'
            THEN d.{{ document }} ->> {{ column.attribute }}
    END AS {{ column.name }}
{% elif column.kind == "json" %}
    , d.{{ document }} -> {{ column.attribute }} AS {{ column.name }}
{% else %}
    , CASE
        WHEN jsonb_typeof(d.{{ document }} -> {{ column.attribute }}) = {% if column.kind == "boolean" %}'boolean'{% else %}'number'{% endif %}

            THEN CAST(d.{{ document }} ->> {{ column.attribute }} AS {{ column.type }})
    END AS {{ column.name }}
{% endif %}
{% else %}
    -- A template: no document is there yet to show its attributes.
    -- , d.{{ document }} ->> 'Attribute' AS attribute
    -- , CAST(d.{{ document }} ->> 'Amount' AS {{ numeric }}) AS amount
{% endfor %}
    , d._cdc_changed_at
{% if has_deleted_at %}
    , d._cdc_deleted_at
{% endif %}
FROM {{ table }} AS d

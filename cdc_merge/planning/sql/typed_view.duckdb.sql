-- Typed access to the documents, with a column for each attribute seen in {{ sampled }} of them; shape it as you like. A
-- value of another type than its column is NULL. (DuckDB reads a number with a fraction as a double: 17 digits.)
CREATE VIEW {{ view }} AS
SELECT
{% for key in keys %}
    d.{{ key }}{% if not loop.last %},{% endif %}

{% endfor %}
{% for column in columns %}
{% if column.kind == "text" %}
    , json_extract_string(d.{{ document }}, {{ column.pointer }}) AS {{ column.name }}
{% elif column.kind == "json" %}
    , json_extract(d.{{ document }}, {{ column.pointer }}) AS {{ column.name }}
{% else %}
    , CASE
        WHEN json_type(d.{{ document }}, {{ column.pointer }}) {% if column.kind == "boolean" %}= 'BOOLEAN'{% else %}IN ('BIGINT', 'UBIGINT', 'DOUBLE'){% endif %}

            THEN TRY_CAST(json_extract_string(d.{{ document }}, {{ column.pointer }}) AS {{ column.type }})
    END AS {{ column.name }}
{% endif %}
{% else %}
    -- A template: no document is there yet to show its attributes.
    -- , json_extract_string(d.{{ document }}, '/Attribute') AS attribute
    -- , TRY_CAST(json_extract_string(d.{{ document }}, '/Amount') AS {{ numeric }}) AS amount
{% endfor %}
    , d._cdc_changed_at
{% if has_deleted_at %}
    , d._cdc_deleted_at
{% endif %}
FROM {{ table }} AS d

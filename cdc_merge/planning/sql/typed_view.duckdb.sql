-- Typed access to the documents, with a column for each attribute seen in {{ sampled }} of them; shape it as you like. A
-- value of another type than its column is NULL, and so is a number that {{ numeric }} does not hold to its last digit.
-- (DuckDB's functions of JSON read a number that is no 64-bit integer as a double; its digits stand in the text.)
CREATE VIEW {{ view }} AS
SELECT
{% for key in keys %}
    d.{{ key }}{% if not loop.last %},{% endif %}

{% endfor %}
{% for column in columns %}
{% if column.kind == "text" %}
    , CASE
        WHEN json_type(d.{{ document }}, {{ column.pointer }}) = 'VARCHAR'
            THEN json_extract_string(d.{{ document }}, {{ column.pointer }})
    END AS {{ column.name }}
{% elif column.kind == "json" %}
    , json_extract(d.{{ document }}, {{ column.pointer }}) AS {{ column.name }}
{% elif column.kind == "boolean" %}
    , CASE
        WHEN json_type(d.{{ document }}, {{ column.pointer }}) = 'BOOLEAN'
            THEN CAST(json_extract_string(d.{{ document }}, {{ column.pointer }}) AS {{ column.type }})
    END AS {{ column.name }}
{% else %}
    , CASE
        WHEN json_type(d.{{ document }}, {{ column.pointer }}) IN ('BIGINT', 'UBIGINT')
            THEN TRY_CAST(json_extract_string(d.{{ document }}, {{ column.pointer }}) AS {{ column.type }})
        WHEN json_type(d.{{ document }}, {{ column.pointer }}) = 'DOUBLE'
            -- An attribute inside may have the same name and nearly the same number: then neither is taken.
            THEN TRY_CAST(list_transform(
                [list_distinct(list_filter(
                    regexp_extract_all(CAST(d.{{ document }} AS VARCHAR), {{ column.digits }}, 1),
                    lambda digits: CAST(digits AS DOUBLE)
                        = CAST(json_extract(d.{{ document }}, {{ column.pointer }}) AS DOUBLE)
                ))],
                lambda found: CASE WHEN len(found) = 1 AND regexp_full_match(found[1], {{ column.held }}) THEN found[1] END
            )[1] AS {{ column.type }})
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

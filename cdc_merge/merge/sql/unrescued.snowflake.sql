CASE
{% for attribute in spelled %}
        {%+ if loop.first %}WHEN{% else %}    OR{% endif %} POSITION({{ attribute }} IN _cdc_rescued) > 0
{% endfor %}
            -- It holds texts, names and nesting only, which a VARIANT gives back as they are.
            -- https://docs.snowflake.com/en/sql-reference/functions/object_delete
            THEN NULLIF(TO_JSON(OBJECT_DELETE(
                CAST(PARSE_JSON(_cdc_rescued) AS OBJECT)
{% for attribute in attributes %}
                , {{ attribute }}
{% endfor %}
            )), '{}')
        ELSE _cdc_rescued
    END

-- What is rescued without some attributes. It holds texts, names and nesting only, which a VARIANT gives back as they are.
-- https://docs.snowflake.com/en/sql-reference/functions/object_delete
CASE
    WHEN {% for attribute in spelled %}POSITION({{ attribute }} IN _cdc_rescued) > 0{% if not loop.last %} OR {% endif %}{% endfor %}

    THEN NULLIF(TO_JSON(OBJECT_DELETE(CAST(PARSE_JSON(_cdc_rescued) AS OBJECT){% for attribute in attributes %}, {{ attribute }}{% endfor %})), '{}')
    ELSE _cdc_rescued
END

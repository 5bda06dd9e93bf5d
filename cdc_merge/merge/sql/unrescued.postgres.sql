CASE
{% for attribute in spelled %}
        {%+ if loop.first %}WHEN{% else %}    OR{% endif %} strpos(CAST(_cdc_rescued AS text), {{ attribute }}) > 0
{% endfor %}
            -- No function of Postgres takes the escape of U+0000, which is what is rescued here: so a word stands for it
            -- meanwhile. Any encoding has it, and its control character stays escaped, in names too.
            -- https://www.postgresql.org/docs/current/datatype-json.html
            THEN (
                SELECT CAST(replace(CAST(json_object_agg(r.key, r.value) AS text), '\u0001cdc-merge-nul', '\u0000') AS json)
                FROM json_each(
                    CAST(replace(CAST(_cdc_rescued AS text), '\u0000', '\u0001cdc-merge-nul') AS json)
                ) AS r
                WHERE TRUE
{% for attribute in attributes %}
                    AND r.key <> {{ attribute }}
{% endfor %}
            )
        ELSE _cdc_rescued
    END

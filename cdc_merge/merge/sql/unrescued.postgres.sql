CASE
{% for attribute in spelled %}
        {%+ if loop.first %}WHEN{% else %}    OR{% endif %} strpos(CAST(_cdc_rescued AS text), {{ attribute }}) > 0
{% endfor %}
            -- No function of Postgres takes the escape of U+0000, which is what is rescued here: so a word stands for it
            -- meanwhile. https://www.postgresql.org/docs/current/datatype-json.html
            THEN (
                -- In the names of attributes the word comes unescaped.
                SELECT CAST(replace(
                    replace(CAST(json_object_agg(r.key, r.value) AS text), '\ue000cdc-merge-nul', '\u0000'),
                    chr(57344) || 'cdc-merge-nul', '\u0000'
                ) AS json)
                FROM json_each(
                    CAST(replace(CAST(_cdc_rescued AS text), '\u0000', '\ue000cdc-merge-nul') AS json)
                ) AS r
                WHERE TRUE
{% for attribute in attributes %}
                    AND r.key <> {{ attribute }}
{% endfor %}
            )
        ELSE _cdc_rescued
    END

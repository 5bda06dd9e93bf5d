CASE
{% for attribute in spelled %}
        {%+ if loop.first %}WHEN{% else %}    OR{% endif %} strpos(CAST(_cdc_rescued AS text), {{ attribute }}) > 0
{% endfor %}
            -- U+0000 cannot be read: an escape that can stands for it meanwhile.
            THEN (
                SELECT CAST({% filter nul_shown %}CAST(json_object_agg(r.key, r.value) AS text){% endfilter %} AS json)
                FROM json_each(CAST({% filter nul_hidden %}CAST(_cdc_rescued AS text){% endfilter %} AS json)) AS r
                WHERE TRUE
{% for attribute in spelled %}
                    AND r.key <> CAST({% filter nul_hidden %}{{ attribute }}{% endfilter %} AS json) #>> '{}'
{% endfor %}
            )
        ELSE _cdc_rescued
    END

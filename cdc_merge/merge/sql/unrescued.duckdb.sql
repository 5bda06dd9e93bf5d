CASE
{% for attribute in spelled %}
        {%+ if loop.first %}WHEN{% else %}    OR{% endif %} strpos(CAST(_cdc_rescued AS text), {{ attribute }}) > 0
{% endfor %}
            -- RFC 7396: a null takes the member away.
            THEN CAST(nullif(CAST(json_merge_patch(_cdc_rescued, {{ patch }}) AS text), '{}') AS JSON)
        ELSE _cdc_rescued
    END

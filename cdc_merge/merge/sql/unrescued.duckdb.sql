-- What is rescued without some attributes.
CASE
    WHEN {% for attribute in spelled %}strpos(CAST(_cdc_rescued AS text), {{ attribute }}) > 0{% if not loop.last %} OR {% endif %}{% endfor %}

    -- RFC 7396: a null takes the member away.
    THEN CAST(nullif(CAST(json_merge_patch(_cdc_rescued, {{ patch }}) AS text), '{}') AS JSON)
    ELSE _cdc_rescued
END

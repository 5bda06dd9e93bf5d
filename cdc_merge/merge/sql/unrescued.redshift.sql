CASE
        -- Nothing takes a member out of a SUPER, so all of it goes; also what is too long to be looked into as text, since
        -- it might hold the attribute. https://docs.aws.amazon.com/redshift/latest/dg/JSON_SERIALIZE.html
        WHEN JSON_SIZE(_cdc_rescued) > 65535 THEN NULL
{% for attribute in spelled %}
        WHEN POSITION({{ attribute }} IN JSON_SERIALIZE(_cdc_rescued)) > 0 THEN NULL
{% endfor %}
        ELSE _cdc_rescued
    END

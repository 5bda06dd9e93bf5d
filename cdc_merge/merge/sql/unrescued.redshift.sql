-- What is rescued without some attributes. Nothing takes a member out of a SUPER, so all of it goes; also what is too
-- long to be looked into as text, since it might hold the attribute.
-- https://docs.aws.amazon.com/redshift/latest/dg/JSON_SERIALIZE.html
CASE
    WHEN JSON_SIZE(_cdc_rescued) > 65535 THEN NULL
    WHEN {% for attribute in spelled %}POSITION({{ attribute }} IN JSON_SERIALIZE(_cdc_rescued)) > 0{% if not loop.last %} OR {% endif %}{% endfor %} THEN NULL
    ELSE _cdc_rescued
END

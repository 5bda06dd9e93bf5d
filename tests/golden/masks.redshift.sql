-- [mask what was rescued in people]
-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued,
-- which stays without the masked attributes.
UPDATE "analytics"."people"
SET
    _cdc_rescued = CASE
        -- Nothing takes a member out of a SUPER, so all of it goes; also what is too long to be looked into as text, since
        -- it might hold the attribute. https://docs.aws.amazon.com/redshift/latest/dg/JSON_SERIALIZE.html
        WHEN JSON_SIZE(_cdc_rescued) > 65535 THEN NULL
        WHEN POSITION('"Dropped"' IN JSON_SERIALIZE(_cdc_rescued)) > 0 THEN NULL
        WHEN POSITION('"Hashed"' IN JSON_SERIALIZE(_cdc_rescued)) > 0 THEN NULL
        WHEN POSITION(('"It''s ' || chr(92) || '"it' || chr(92) || '""') IN JSON_SERIALIZE(_cdc_rescued)) > 0 THEN NULL
        WHEN POSITION('"Redacted"' IN JSON_SERIALIZE(_cdc_rescued)) > 0 THEN NULL
        ELSE _cdc_rescued
    END
WHERE _cdc_rescued IS NOT NULL;

-- [mask history of people]
-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued,
-- which stays without the masked attributes.
UPDATE "analytics"."people_history"
SET
    "hashed" = SHA2("hashed", 256),
    "redacted" = CASE WHEN "redacted" IS NOT NULL THEN 'redacted' END,
    "dropped" = NULL,
    _cdc_rescued = CASE
        -- Nothing takes a member out of a SUPER, so all of it goes; also what is too long to be looked into as text, since
        -- it might hold the attribute. https://docs.aws.amazon.com/redshift/latest/dg/JSON_SERIALIZE.html
        WHEN JSON_SIZE(_cdc_rescued) > 65535 THEN NULL
        WHEN POSITION('"Dropped"' IN JSON_SERIALIZE(_cdc_rescued)) > 0 THEN NULL
        WHEN POSITION('"Hashed"' IN JSON_SERIALIZE(_cdc_rescued)) > 0 THEN NULL
        WHEN POSITION(('"It''s ' || chr(92) || '"it' || chr(92) || '""') IN JSON_SERIALIZE(_cdc_rescued)) > 0 THEN NULL
        WHEN POSITION('"Redacted"' IN JSON_SERIALIZE(_cdc_rescued)) > 0 THEN NULL
        ELSE _cdc_rescued
    END
WHERE _cdc_rescued IS NOT NULL
    OR "hashed" IS NOT NULL
    OR "redacted" IS NOT NULL
    OR "dropped" IS NOT NULL;

-- [erase samples of people]
-- A sample may show what is masked from now on.
UPDATE "cdc_merge"."misfits"
SET first_key = NULL, first_value = NULL
WHERE source = 'e''commerce'
    AND target = 'people'
    AND first_value IS NOT NULL;

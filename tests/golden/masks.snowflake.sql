-- [mask what was rescued in people]
-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued,
-- which stays without the masked attributes.
UPDATE "ANALYTICS"."PEOPLE"
SET
    _cdc_rescued = CASE
        WHEN POSITION('"Dropped"' IN _cdc_rescued) > 0
            OR POSITION('"Hashed"' IN _cdc_rescued) > 0
            OR POSITION(('"It''s ' || chr(92) || '"it' || chr(92) || '""') IN _cdc_rescued) > 0
            OR POSITION('"Redacted"' IN _cdc_rescued) > 0
            -- It holds texts, names and nesting only, which a VARIANT gives back as they are.
            -- https://docs.snowflake.com/en/sql-reference/functions/object_delete
            THEN NULLIF(TO_JSON(OBJECT_DELETE(
                CAST(PARSE_JSON(_cdc_rescued) AS OBJECT)
                , 'Dropped'
                , 'Hashed'
                , 'It''s "it"'
                , 'Redacted'
            )), '{}')
        ELSE _cdc_rescued
    END
WHERE _cdc_rescued IS NOT NULL;

-- [mask history of people]
-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued,
-- which stays without the masked attributes.
UPDATE "ANALYTICS"."PEOPLE_HISTORY"
SET
    "HASHED" = SHA2("HASHED", 256),
    "REDACTED" = CASE WHEN "REDACTED" IS NOT NULL THEN 'redacted' END,
    "DROPPED" = NULL,
    _cdc_rescued = CASE
        WHEN POSITION('"Dropped"' IN _cdc_rescued) > 0
            OR POSITION('"Hashed"' IN _cdc_rescued) > 0
            OR POSITION(('"It''s ' || chr(92) || '"it' || chr(92) || '""') IN _cdc_rescued) > 0
            OR POSITION('"Redacted"' IN _cdc_rescued) > 0
            -- It holds texts, names and nesting only, which a VARIANT gives back as they are.
            -- https://docs.snowflake.com/en/sql-reference/functions/object_delete
            THEN NULLIF(TO_JSON(OBJECT_DELETE(
                CAST(PARSE_JSON(_cdc_rescued) AS OBJECT)
                , 'Dropped'
                , 'Hashed'
                , 'It''s "it"'
                , 'Redacted'
            )), '{}')
        ELSE _cdc_rescued
    END
WHERE _cdc_rescued IS NOT NULL
    OR "HASHED" IS NOT NULL
    OR "REDACTED" IS NOT NULL
    OR "DROPPED" IS NOT NULL;

-- [erase samples of people]
-- A sample may show what is masked from now on.
UPDATE "CDC_MERGE"."MISFITS"
SET first_key = NULL, first_value = NULL
WHERE source = 'e''commerce'
    AND target = 'people'
    AND first_value IS NOT NULL;

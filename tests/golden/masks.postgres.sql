-- [mask what was rescued in people]
-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued,
-- which stays without the masked attributes.
UPDATE "analytics"."people"
SET
    _cdc_rescued = CASE
        WHEN strpos(CAST(_cdc_rescued AS text), '"Dropped"') > 0
            OR strpos(CAST(_cdc_rescued AS text), '"Hashed"') > 0
            OR strpos(CAST(_cdc_rescued AS text), '"It''s \"it\""') > 0
            OR strpos(CAST(_cdc_rescued AS text), '"Redacted"') > 0
            -- U+0000 cannot be read: an escape that can stands for it meanwhile.
            THEN (
                SELECT CAST(replace(replace(CAST(json_object_agg(r.key, r.value) AS text), '\u0001n', '\u0000'), '\u0001s', '\u0001') AS json)
                FROM json_each(CAST(replace(replace(CAST(_cdc_rescued AS text), '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS r
                WHERE TRUE
                    AND r.key <> CAST(replace(replace('"Dropped"', '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json) #>> '{}'
                    AND r.key <> CAST(replace(replace('"Hashed"', '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json) #>> '{}'
                    AND r.key <> CAST(replace(replace('"It''s \"it\""', '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json) #>> '{}'
                    AND r.key <> CAST(replace(replace('"Redacted"', '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json) #>> '{}'
            )
        ELSE _cdc_rescued
    END
WHERE _cdc_rescued IS NOT NULL;

-- [mask history of people]
-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued,
-- which stays without the masked attributes.
UPDATE "analytics"."people_history"
SET
    "hashed" = encode(sha256(convert_to("hashed", 'UTF8')), 'hex'),
    "redacted" = CASE WHEN "redacted" IS NOT NULL THEN 'redacted' END,
    "dropped" = NULL,
    _cdc_rescued = CASE
        WHEN strpos(CAST(_cdc_rescued AS text), '"Dropped"') > 0
            OR strpos(CAST(_cdc_rescued AS text), '"Hashed"') > 0
            OR strpos(CAST(_cdc_rescued AS text), '"It''s \"it\""') > 0
            OR strpos(CAST(_cdc_rescued AS text), '"Redacted"') > 0
            -- U+0000 cannot be read: an escape that can stands for it meanwhile.
            THEN (
                SELECT CAST(replace(replace(CAST(json_object_agg(r.key, r.value) AS text), '\u0001n', '\u0000'), '\u0001s', '\u0001') AS json)
                FROM json_each(CAST(replace(replace(CAST(_cdc_rescued AS text), '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json)) AS r
                WHERE TRUE
                    AND r.key <> CAST(replace(replace('"Dropped"', '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json) #>> '{}'
                    AND r.key <> CAST(replace(replace('"Hashed"', '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json) #>> '{}'
                    AND r.key <> CAST(replace(replace('"It''s \"it\""', '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json) #>> '{}'
                    AND r.key <> CAST(replace(replace('"Redacted"', '\u0001', '\u0001s'), '\u0000', '\u0001n') AS json) #>> '{}'
            )
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

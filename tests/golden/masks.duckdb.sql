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
            -- RFC 7396: a null takes the member away.
            THEN CAST(nullif(CAST(json_merge_patch(_cdc_rescued, '{"Dropped": null, "Hashed": null, "It''s \"it\"": null, "Redacted": null}') AS text), '{}') AS JSON)
        ELSE _cdc_rescued
    END
WHERE _cdc_rescued IS NOT NULL;

-- [mask history of people]
-- What is masked from now on is hidden where it stood in the clear: in columns of a history, and in what was rescued,
-- which stays without the masked attributes.
UPDATE "analytics"."people_history"
SET
    "hashed" = sha256("hashed"),
    "redacted" = CASE WHEN "redacted" IS NOT NULL THEN 'redacted' END,
    "dropped" = NULL,
    _cdc_rescued = CASE
        WHEN strpos(CAST(_cdc_rescued AS text), '"Dropped"') > 0
            OR strpos(CAST(_cdc_rescued AS text), '"Hashed"') > 0
            OR strpos(CAST(_cdc_rescued AS text), '"It''s \"it\""') > 0
            OR strpos(CAST(_cdc_rescued AS text), '"Redacted"') > 0
            -- RFC 7396: a null takes the member away.
            THEN CAST(nullif(CAST(json_merge_patch(_cdc_rescued, '{"Dropped": null, "Hashed": null, "It''s \"it\"": null, "Redacted": null}') AS text), '{}') AS JSON)
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

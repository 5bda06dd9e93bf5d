-- The records in quarantine and their sizes: their bytes are read a portion at a time.
SELECT id, octet_length({{ "raw" | quoted }})
FROM {{ quarantine }}
WHERE source = {{ source }}
    AND {{ "raw" | quoted }} IS NOT NULL
ORDER BY quarantined_at, id

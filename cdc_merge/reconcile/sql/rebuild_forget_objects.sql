-- Objects that may hold changes since the floor are to be merged once more; if nobody comes to it, the next worker does.
DELETE FROM {{ objects }} WHERE source = {{ source }} AND modified_at >= {{ since }}

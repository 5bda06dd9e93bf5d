-- The export's rows of one target{% if buckets %} in the buckets that differ{% endif %}: their keys, and a hash of all else.
CREATE TEMPORARY TABLE _cdc_hashed_{{ target.number }} AS
{{ hashed_rows }}

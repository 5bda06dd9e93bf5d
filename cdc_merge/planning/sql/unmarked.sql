-- A table that has yet to get the column, as if it had: no row is marked.
CREATE OR REPLACE TEMPORARY VIEW {{ view }} AS
SELECT {% if row_address %}{{ row_address }}, {% endif %}t.*, CAST(NULL AS {{ timestamp }}) AS _cdc_deleted_at
FROM {{ table }} AS t

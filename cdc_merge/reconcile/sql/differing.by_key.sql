-- The names of the columns that differ, of a row that both sides have.
nullif(substring(''
{% for column in columns %}
    || CASE WHEN {{ row }}._cdc_row IS NOT NULL AND {{ number }}.n IS NOT NULL AND NOT {{ column.same }} THEN chr(10) || {{ column.label }} ELSE '' END
{% endfor %}
, 2), '')

-- How many of each, with what is needed to see whether a row is there twice.
SELECT
    (SELECT count(*) FROM {{ target.table }}),
    (SELECT count(*) FROM _cdc_keys AS s JOIN _cdc_rows_{{ target.number }} AS r ON r.n = s.n),
    {%+ filter count_where %}v.verdict = 'missing'{% endfilter %},
    {%+ filter count_where %}v.verdict = 'extra'{% endfilter %},
    {%+ filter count_where %}v.verdict = 'different'{% endfilter %},
    {%+ filter count_where %}v.verdict = 'newer'{% endfilter %},
    count(v.address),
    count(v.n),
    (SELECT count(*) FROM (SELECT DISTINCT v.n{% if target.is_each %}, v.place{% endif %} FROM _cdc_verdicts_{{ target.number }} AS v WHERE v.n IS NOT NULL) AS told)
FROM _cdc_verdicts_{{ target.number }} AS v

-- How many of each, with what is needed to see whether a row is there twice.
SELECT
    (SELECT count(*) FROM {{ target.table }}),
{% if dialect.row_hash %}
    (SELECT count(*) FROM _cdc_keyed_{{ target.number }}),
{% else %}
    (SELECT count(*) FROM _cdc_keys AS s JOIN _cdc_rows_{{ target.number }} AS r ON r.n = s.n),
{% endif %}
    {%+ filter count_where %}v.verdict = 'missing'{% endfilter %},
    {%+ filter count_where %}v.verdict = 'extra'{% endfilter %},
    {%+ filter count_where %}v.verdict = 'different'{% endfilter %},
    {%+ filter count_where %}v.verdict = 'newer'{% endfilter %},
    count(v.address),
    count(v.n),
    -- What meets no row is there once; to tell millions of these apart would take long.
    count(DISTINCT {% if target.is_each %}(v.n, v.place){% else %}v.n{% endif %}) FILTER (WHERE v.n IS NOT NULL AND v.address IS NOT NULL)
    + {% filter count_where %}v.n IS NOT NULL AND v.address IS NULL{% endfilter %}

FROM _cdc_verdicts_{{ target.number }} AS v

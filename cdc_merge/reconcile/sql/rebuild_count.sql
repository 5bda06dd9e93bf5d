-- How many rows of the old table changed since the export, and how many come over of items that are gone.
SELECT
    {%+ filter count_where %}v.verdict = 'newer'{% endfilter %},
    {%+ filter count_where %}v.verdict IN ('kept'{% if target.is_soft %}, 'extra'{% endif %}){% endfilter %}

FROM _cdc_verdicts_{{ target.number }} AS v
WHERE v.address IS NOT NULL

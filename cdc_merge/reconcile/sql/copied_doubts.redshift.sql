-- For each reason how many items are in doubt.
SELECT
{% for doubt in doubts %}
    {%+ filter count_where %}{{ doubt.when }}{% endfilter %}{% if not loop.last %},{% endif %}

{% endfor %}
FROM _cdc_copied AS r

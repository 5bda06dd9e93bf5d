-- How many keys there are, whether a row of any target is in doubt, and the time of the newest change.
SELECT
    {%+ filter count_where %}s.nth = 1{% endfilter %},
    {%+ filter count_where %}NOT s.removed{% for target in targets %} AND NOT s.takes_{{ target.number }}{% endfor %} AND s.entity_doubt{% endfilter %},
    max(s.changed_at)
{% for target in targets %}
    , {%+ filter count_where %}s.doubt_{{ target.number }}{% endfilter +%}
{% endfor %}
FROM _cdc_wide AS s

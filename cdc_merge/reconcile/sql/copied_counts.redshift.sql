-- How many items were copied, how many of them are in doubt, and how many keys came more than once.
SELECT
    count(*),
    {%+ filter count_where %}r.in_doubt{% endfilter %},
    (
        SELECT count(*)
        FROM (
            SELECT {% for key in keys %}t.{{ key }}{% if not loop.last %}, {% endif %}{% endfor %}

            FROM _cdc_copied AS t
            WHERE NOT t.in_doubt
            GROUP BY {% for key in keys %}t.{{ key }}{% if not loop.last %}, {% endif %}{% endfor %}

            HAVING count(*) > 1
        ) AS twice
    )
FROM _cdc_copied AS r

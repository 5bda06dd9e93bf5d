-- The first few keys of each verdict.
SELECT verdict, cause, differing{% for key in target.keys %}, CAST(k{{ loop.index0 }} AS {{ text }}){% endfor %}

FROM (
    SELECT
        c.*,
        row_number() OVER (
            PARTITION BY c.verdict
            ORDER BY {% for key in target.keys %}c.k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

        ) AS place
    FROM _cdc_causes_{{ target.number }} AS c
    WHERE c.verdict <> 'newer'
) AS ranked
WHERE place <= {{ samples }}
ORDER BY verdict, place

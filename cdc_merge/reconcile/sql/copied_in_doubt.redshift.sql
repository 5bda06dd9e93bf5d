-- The keys of items that are in doubt.
SELECT {% for key in keys %}r.{{ key }}{% if not loop.last %}, {% endif %}{% endfor %}

FROM _cdc_copied AS r
WHERE r.in_doubt

-- How often each cause.
SELECT c.verdict, c.cause, count(*)
FROM _cdc_causes_{{ target.number }} AS c
GROUP BY c.verdict, c.cause
ORDER BY c.verdict, c.cause

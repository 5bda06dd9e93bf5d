-- Which columns differed, together.
SELECT c.differing, count(*)
FROM _cdc_causes_{{ target.number }} AS c
WHERE c.verdict = 'different'
GROUP BY c.differing
ORDER BY count(*) DESC, c.differing
LIMIT 100

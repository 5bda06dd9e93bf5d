-- How many rows of the old table changed since the export.
SELECT count(v.address) FROM _cdc_verdicts_{{ target.number }} AS v WHERE v.verdict = 'newer'

-- Whether rows were staged of changes that are not the newest any more; where some were doubted, counts do not tell.
SELECT
    (SELECT count(*) FROM doubted) > 0
    OR (SELECT count(*) FROM facts) + (SELECT count(*) FROM left_over) <> (SELECT count(*) FROM latest)

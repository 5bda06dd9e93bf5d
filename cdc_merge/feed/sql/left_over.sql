-- The newest changes of which the first pass staged nothing. Doubted ones were looked at, and are settled by themselves.
-- (Where lines are picked for single targets nothing is staged before, so there is no `target` here.)
CREATE TABLE left_over AS
SELECT n, chunk, idx
FROM latest
ANTI JOIN facts USING (n)
ANTI JOIN doubted USING (n)

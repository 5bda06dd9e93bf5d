-- One row per source whose targets `run` probes: the newest estimate of how far they have drifted, as the share (0 to
-- 1) of rows that are not what DynamoDB says, and the interval it lies in with 95 % confidence.
CREATE TABLE {{ probes }} (
    source {{ text }} NOT NULL PRIMARY KEY,
    samples {{ integer }} NOT NULL,
    drifted {{ integer }} NOT NULL,
    estimate {{ double }} NOT NULL,
    lower_bound {{ double }} NOT NULL,
    upper_bound {{ double }} NOT NULL,
    first_sample_at {{ timestamp }} NOT NULL,
    last_sample_at {{ timestamp }} NOT NULL,
    worker {{ text }} NOT NULL
);

-- The newest estimate of a source, in the place of the one before.
INSERT INTO {{ probes }} (
    source, samples, drifted, estimate, lower_bound, upper_bound, first_sample_at, last_sample_at, worker
)
VALUES (
    {{ source }}, {{ samples }}, {{ drifted }},
    CAST({{ estimate }} AS DOUBLE PRECISION), CAST({{ lower }} AS DOUBLE PRECISION), CAST({{ upper }} AS DOUBLE PRECISION),
    {{ first_at }}, {{ last_at }}, {{ worker }}
)
{% if dialect.has_upsert %}
ON CONFLICT (source) DO UPDATE SET
    samples = excluded.samples,
    drifted = excluded.drifted,
    estimate = excluded.estimate,
    lower_bound = excluded.lower_bound,
    upper_bound = excluded.upper_bound,
    first_sample_at = excluded.first_sample_at,
    last_sample_at = excluded.last_sample_at,
    worker = excluded.worker
{% endif %}

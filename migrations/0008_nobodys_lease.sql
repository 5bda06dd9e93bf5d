{% if not dialect.enforces_keys and not dialect.lock_table %}
-- A row that is nobody's. Where no key is enforced and an update locks, each merge updates it before it looks at anything.
INSERT INTO {{ leases }} (source, holder, token, renewed_at, expires_at)
SELECT '', '', '', {{ now }}, {{ now }};
{% endif %}

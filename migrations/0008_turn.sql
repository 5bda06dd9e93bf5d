{% if not dialect.enforces_keys and not dialect.lock_table %}
-- Where no key is enforced and only an update locks, each merge updates this row before it looks at anything.
INSERT INTO {{ turns }} (source)
SELECT '';
{% endif %}

-- A column for an attribute that was not there before; older rows have no such attribute, so NULL is right.
ALTER TABLE {{ target.table }} ADD COLUMN {% if dialect.ddl_commits %}IF NOT EXISTS {% endif %}{{ column.name }} {{ column.type }}{% if dialect.ddl_commits %} COMMENT {{ mark }}{% endif %}

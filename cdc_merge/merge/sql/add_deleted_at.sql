-- The target keeps the rows of deleted items from now on.
ALTER TABLE {{ target.table }} ADD COLUMN {% if dialect.ddl_commits %}IF NOT EXISTS {% endif %}_cdc_deleted_at {{ timestamp }}{% if dialect.ddl_commits %} COMMENT {{ mark }}{% endif %}

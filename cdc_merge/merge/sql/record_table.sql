-- An export says which table it is of; records of Kinesis do not.
UPDATE {{ sources }} SET table_arn = coalesce(table_arn, {{ table_arn }}) WHERE source = {{ source }}

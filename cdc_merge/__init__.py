"""Keep warehouse tables true to a DynamoDB table, from the change objects Firehose writes to S3."""

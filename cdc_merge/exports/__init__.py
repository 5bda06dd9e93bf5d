"""Exports of DynamoDB tables to S3: how one is found, trusted and read."""

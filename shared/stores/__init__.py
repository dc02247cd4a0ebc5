"""What outlives a request: DynamoDB, S3 and secrets. The only place that imports boto3."""

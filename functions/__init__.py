"""Entry points: one folder an endpoint, each its own Lambda function."""

"""Persistent state: DynamoDB, S3, SQS and Secrets Manager. Only this package and the command line import boto3."""

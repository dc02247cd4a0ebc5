"""Entry points: one folder for each Lambda function."""

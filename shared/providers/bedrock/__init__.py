"""Amazon Bedrock: models in the AWS account that the gateway runs in, called with its credentials."""

"""The operator: the CDK command line, and the owner of the AWS account."""

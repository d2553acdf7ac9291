"""What `make preflight` does: it checks an AWS account before a deployment, and spends nothing."""

"""AWS: clients, one-line error messages, retries, and multipart uploads that can be resumed."""

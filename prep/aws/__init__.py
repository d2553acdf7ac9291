"""AWS: clients, failures as one line, and uploads that can be continued."""

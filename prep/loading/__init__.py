"""Loading: batches for training, made by several processes."""

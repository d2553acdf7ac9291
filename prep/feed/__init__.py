"""What a training machine gets from its volume and its cores, and whether that feeds its GPUs."""

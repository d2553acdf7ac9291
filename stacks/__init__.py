"""The CloudFormation stacks: what outlives instances, the prep instance, the training instances."""

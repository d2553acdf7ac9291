"""The cloud on one machine: the parts that let the whole road run with no AWS account."""

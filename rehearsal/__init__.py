"""The rehearsal: an emulated cloud on one machine, in which all steps run without an AWS account."""

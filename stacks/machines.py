"""The images and root disks of the instances. Imports nothing of CDK, so that preflight can import it."""

from typing import Final

# NVIDIA's open driver and CUDA on Amazon Linux 2023. Each launch uses the newest image.
# https://docs.aws.amazon.com/dlami/latest/devguide/aws-deep-learning-x86-base-gpu-ami-amazon-linux-2023.html
TRAINING_IMAGE: Final = (
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
)

# In GiB. The prep instance: the system, Python and its packages; the data is on other volumes.
PREP_ROOT_GIB: Final = 16
# The GPU image takes about half of this; the rest is for frameworks and checkpoints.
TRAINING_ROOT_GIB: Final = 125

"""The images of the instances. Imports nothing of CDK, so that preflight can import it."""

from typing import Final

# NVIDIA's open driver and CUDA on Amazon Linux 2023. Each launch uses the newest image.
# https://docs.aws.amazon.com/dlami/latest/devguide/aws-deep-learning-x86-base-gpu-ami-amazon-linux-2023.html
TRAINING_IMAGE: Final = (
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
)

"""An EC2 instance as processes of this machine."""

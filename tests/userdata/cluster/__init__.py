"""A machine of the cluster: userdata/cluster.sh run by real bash, in a mount namespace of its own.

There, /etc, /opt and /var/lib are the test's. The aws command is the real one, and asks an embedded AWS.
"""

"""What measurements are made with: disks, processes, and the tools that prep is compared with."""

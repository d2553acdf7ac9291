"""The readers that `bench read` compares: a module each, run as a process, by the Python that has it.

None imports more than its reader, NumPy and `task`, because some run where the rest is not installed.
"""

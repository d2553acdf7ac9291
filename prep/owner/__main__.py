"""`python -m prep.owner …`: the owner's commands alone, for a machine without the packages for images."""

from prep.interrupt import importing

if __name__ == "__main__":
    with importing():
        from prep import command_line
        from prep.owner.cli import owner
    command_line.end(command_line.run(owner, "python -m prep.owner"))

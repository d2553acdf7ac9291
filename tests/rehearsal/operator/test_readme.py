"""What the walk-through's commands are, and what is none."""

from rehearsal.operator.readme import Command, walkthrough

TEXT = """
# A title

```sh
make elsewhere
```

## On a real account

```sh
make nothing
```

**1. First.** Words, and `code`.

```sh
make one      # why
printf '# no comment' |
  cat
```

**2. Second.**

```python
import this

print(1)
```

## Afterwards

```sh
make after
```
"""


def test_commands_of_the_section_in_order() -> None:
    assert walkthrough(TEXT) == [
        Command(0, "sh", "make nothing"),
        Command(1, "sh", "make one"),
        Command(1, "sh", "printf '# no comment' |\n  cat"),
        Command(2, "python", "import this\n\nprint(1)"),
    ]

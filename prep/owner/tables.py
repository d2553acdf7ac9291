"""Results as tables of text."""

from collections.abc import Sequence

from prep.progress import one_line


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of the width of their longest cell; numbers to the right. None becomes a dash."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in [list(head), *cells]
    )


def dollars(amount: float | None) -> str:
    """An amount for a table: "$1.23", or a dash if it is not known."""
    return "-" if amount is None else f"${amount:,.2f}"


def _text(cell: object) -> str:
    if cell is None or cell == "":
        return "-"
    return f"{cell:.1f}" if isinstance(cell, float) else one_line(str(cell))

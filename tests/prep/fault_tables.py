"""The faults as a document for readers: `python -m tests.prep.fault_tables > docs/faults.md`."""

import io
from collections.abc import Iterable

from tests.prep.faults import DISK, S3, SERVER
from tests.prep.run_faults import RUN


def _table(out: io.StringIO, title: str, heads: str, rows: Iterable[tuple[str, ...]]) -> None:
    out.write(f"\n## {title}\n\n| {heads.replace(', ', ' | ')} |\n|{'---|' * (heads.count(', ') + 1)}\n")
    for row in rows:
        out.write(f"| {' | '.join(row)} |\n")


def _seen(says: str) -> str:
    return f"`error: {says}`" if says else "nothing: the request is repeated"


def _files(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def document() -> str:
    """The document with the tables, as Markdown."""
    out = io.StringIO()
    out.write(
        "# Faults: what the user sees, what remains, what to do\n\n"
        "`python -m tests.prep.fault_tables` writes this document. The tests in "
        "`tests/prep/test_faults_*.py` cause each of these faults while the real command line runs: with a "
        "real archive server, with a real S3 server behind a proxy, and with disks that are really full. "
        "Each test then applies the remedy and runs the same command again; the files must be byte for byte "
        "those of a run without a fault. “…” stands for names and numbers.\n"
    )
    _table(
        out, "The archive server, during `download`",
        "fault, the user sees, exit code, files that remain, what to do",
        ((f.what, _seen(f.says), str(f.code), _files(f.left) if f.code else "the checked archive",
          (f.remedy + ("; only the missing ranges are fetched" if f.resumes and f.left else ""))
          if f.code else "") for f in SERVER.values()),
    )  # fmt: skip
    _table(
        out, "S3, during `backup`", "fault, the user sees, exit code, what to do",
        ((f.what, _seen(f.says), str(f.code), (f.remedy + (
            "; only the missing parts are sent" if f.kept else "; the whole file is sent again"
        )) if f.code else "")
         for f in S3.values()),
    )  # fmt: skip
    _table(
        out, "`run`, while the archives arrive and after", "fault, the user sees, exit code, what to do",
        ((f.what, _seen(f.says), str(f.code), f.remedy if f.code else "") for f in RUN.values()),
    )  # fmt: skip
    _table(
        out, "A full disk", "stage, fault, the user sees, exit code, what remains",
        ((f"`{f.stage}`", f.what, _seen(f.says), "6", f.left) for f in DISK.values()),
    )  # fmt: skip
    return out.getvalue()


if __name__ == "__main__":
    print(document(), end="")

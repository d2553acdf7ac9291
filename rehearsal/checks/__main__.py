"""`python -m rehearsal.checks DESCRIPTION ARCHIVES PACKED`."""

from rehearsal.checks.packed import main

main()

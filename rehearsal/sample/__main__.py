"""`python -m rehearsal.sample FOLDER`."""

from rehearsal.sample.generate import main

main()

"""docs/cluster-scale.md is what the model and the simulation say."""

from bench.report import REPOSITORY
from bench.scale import document

DOCUMENT = REPOSITORY / "docs" / "cluster-scale.md"


def test_the_document_is_up_to_date() -> None:
    """`python -m bench.scale.document > docs/cluster-scale.md` makes it so."""
    assert DOCUMENT.read_text(encoding="utf-8") == document.document()


def test_it_is_short() -> None:
    assert len(DOCUMENT.read_text(encoding="utf-8").splitlines()) <= 150

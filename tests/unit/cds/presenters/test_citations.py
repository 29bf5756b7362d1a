import pytest

from cds.presenters.citations import Citations, link
from tests.support.cases import sources


def test_numbers_follow_the_list() -> None:
    cite = Citations(sources())
    listed = sources()
    cited = cite([listed[3].id, listed[0].id, "NOWHERE", listed[0].id])
    assert [(one.evidence_id, one.number) for one in cited] == [
        (listed[0].id, 1),
        (listed[3].id, 4),
        ("NOWHERE", None),
    ]


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("10.1000/example.1", "https://doi.org/10.1000/example.1"),
        ("doi:10.1038/s41597-023-02432-4", "https://doi.org/10.1038/s41597-023-02432-4"),
        ("PMID: 12345", "https://pubmed.ncbi.nlm.nih.gov/12345/"),
        ("javascript:alert(1)", None),
        ("https://example.org", None),
        ('10.1000/x" onclick="y', None),
        (None, None),
    ],
)
def test_only_public_identifiers_become_links(identifier: str | None, expected: str | None) -> None:
    assert link(identifier) == expected

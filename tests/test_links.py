"""What the documents link to is in the repository."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    links = re.findall(r"]\(([^)#\s]+)", document.read_text())
    files = [link for link in links if not link.startswith(("http:", "https:"))]
    assert [file for file in files if not (document.parent / file).exists()] == []


def test_there_are_such_links() -> None:
    assert "docs/results/peers.txt" in (ROOT / "README.md").read_text()

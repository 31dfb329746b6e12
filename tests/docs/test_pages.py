"""Each page is followed from top to bottom, in a folder with the files it speaks of."""

from __future__ import annotations

import pytest
from blocks import PAGES, blocks

RUN = {
    page.name: [b for b in blocks(page) if b.language in ("sh", "python") and not b.reason]
    for page in PAGES
}


@pytest.mark.slow
@pytest.mark.parametrize("page", [name for name, found in RUN.items() if found])
def test_what_the_page_says_works(page, stand):
    reader = stand()
    for block in RUN[page]:
        reader.follow(block)

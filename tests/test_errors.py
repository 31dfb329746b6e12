"""What is said of the errors of others."""

from __future__ import annotations

import pytest

from sparse_ir.errors import brief


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError(" no such key.\r\nTraceback: …"), "no such key"),
        (RuntimeError(), "RuntimeError"),
        (OSError(300 * "a"), 199 * "a" + "…"),
    ],
)
def test_an_error_of_another_library_is_one_line_that_fits_a_message(error, said):
    assert brief(error) == said

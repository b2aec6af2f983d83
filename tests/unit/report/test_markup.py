"""Numbers as the page writes them."""

import pytest

from crystalformer_rl.report.markup import percent


@pytest.mark.parametrize(
    ("count", "text"), [(109, "27.2"), (149, "37.2"), (203, "50.8"), (0, "0.0"), (400, "100.0")]
)
def test_percentages_are_rounded_as_the_exact_fraction(count: int, text: str) -> None:
    """Half a tenth goes to the even tenth, whatever the floating-point product is."""
    assert percent(count / 400) == f"{text}\u202f%"

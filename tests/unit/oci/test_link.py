from __future__ import annotations

import pytest

from pushd.oci.link import next_page


@pytest.mark.parametrize(
    "header",
    [
        '</v2/app/referrers/x?n=2>; rel="next"',
        "</v2/app/referrers/x?n=2>;rel=next",
        '</v2/app/referrers/x?n=2> ; title="a, b; rel=prev" ; REL="last next"',
        '</other>; rel="prev", </v2/app/referrers/x?n=2>; rel="next"',
    ],
)
def test_the_next_page_is_the_one_that_is_called_so(header: str) -> None:
    assert next_page([header]) == "/v2/app/referrers/x?n=2"


@pytest.mark.parametrize(
    "header",
    ["", "next", '</a>; rel="prev"', "</a>", '</a>; rel="nextdoor"', '</a>; title="rel=next"', "</a; rel=next"],
)
def test_without_one_it_is_the_last(header: str) -> None:
    assert next_page([header]) is None


def test_it_may_be_in_a_header_of_its_own() -> None:
    assert next_page(['</a>; rel="prev"', '</b>; rel="next"']) == "/b"
    assert next_page([]) is None

"""Docstrings reach the API page as they were written."""

from __future__ import annotations

import pytest

from extensions import extension

plain_docstrings = extension("plain_docstrings")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("images: (B, *shape) in [0, 1].", r"images: (B, \*shape) in [0, 1]."),
        ("(B, *shape) to (N, *shape)", r"(B, \*shape) to (N, \*shape)"),
        ("c |r|^2, then ``|r|`` as code", r"c \|r\|^2, then ``|r|`` as code"),
        ("this is *meant* and so is ``a * b``", "this is *meant* and so is ``a * b``"),
        ("see :func:`minimize` and `*`", "see :func:`minimize` and `*`"),
        ("name -> (B, *shape), as ``a -> b``", r"name → (B, \*shape), as ``a -> b``"),
        (r"already \*escaped", r"already \*escaped"),
        ("  * ``quick``: the first |r|", r"  * ``quick``: the first \|r\|"),
        ("*modules: names", r"\*modules: names"),
        ("lambda * sum w^2 * 2", r"lambda \* sum w^2 \* 2"),
    ],
)
def test_only_markup_stays_markup(line: str, expected: str) -> None:
    assert plain_docstrings.escape(line) == expected


def test_colon_in_a_constant_is_no_type() -> None:
    lines = ["The models: three of them."]
    plain_docstrings.before_napoleon(None, "data", "", None, None, lines)
    assert ": " not in lines[0]
    plain_docstrings.after_napoleon(None, "data", "", None, None, lines)
    assert lines == ["The models: three of them."]


def test_a_letter_with_a_point_is_no_head_of_a_list() -> None:
    lines = ["    classes: k.", "    n: N, m. and k.", "k. stands alone."]
    plain_docstrings.before_napoleon(None, "function", "", None, None, lines)
    assert lines == [r"    classes: k\.", "    n: N, m. and k.", "k. stands alone."]

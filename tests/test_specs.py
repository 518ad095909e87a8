"""Specs add up what groups of observations are made of."""

from __future__ import annotations

from mimickit.specs import GroupSpec


def test_group_is_as_wide_as_its_parts():
    spec = GroupSpec.of(("root", 7), ("phase", 0), ("joints", 12))
    assert spec == GroupSpec(19, (("root", 7), ("joints", 12)))


def test_group_of_nothing_is_empty():
    assert GroupSpec.of() == GroupSpec(0, ())

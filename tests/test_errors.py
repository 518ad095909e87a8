"""Messages name what is wrong, what comes close, what exists, and the key to change."""

from __future__ import annotations

import pytest

from mimickit import errors
from mimickit.errors import MimicKitError, UnknownBody, UnknownName, closest, unknown_name_message


def test_message_names_key_and_closest_first():
    message = unknown_name_message(
        "character 'g1' has no body", "left_fot", ["pelvis", "left_foot"], "character.key_bodies"
    )
    assert message == (
        "character 'g1' has no body 'left_fot' (asked for by character.key_bodies). "
        "Closest: left_foot. All: left_foot, pelvis."
    )


def test_message_without_a_close_match_or_a_key_leaves_them_out():
    assert unknown_name_message("no motion", "zzz", ["walk"]) == "no motion 'zzz'. All: walk."
    assert unknown_name_message("no motion", "zzz", []) == "no motion 'zzz'. All: none."


def test_long_lists_are_cut_but_searched_whole():
    names = [f"body_{i:02}" for i in range(30)] + ["zygoma"]
    message = unknown_name_message("no body", "zigoma", names, most=2)
    assert message.startswith("no body 'zigoma'. Closest: zygoma. All: body_00, body_01, ...")


@pytest.mark.parametrize(
    ("typo", "name"), [("wlak", "walk"), ("Walk", "walk"), ("spin_kick", "spinkick")]
)
def test_usual_typos_find_their_name(typo, name):
    assert closest(typo, ["walk", "run", "spinkick", "backflip"])[0] == name


def test_every_error_is_one_that_is_printed_without_traceback():
    found = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(found) >= 10
    assert all(issubclass(error, MimicKitError) for error in found)
    assert issubclass(UnknownBody, UnknownName)

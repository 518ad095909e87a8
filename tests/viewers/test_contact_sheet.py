"""A contact sheet has a row per strip, or more, and appears only when it is whole."""

from __future__ import annotations

import pytest

from mimickit.errors import ConfigError
from mimickit.viewers import Frame, moved
from mimickit.viewers.contact_sheet import write_contact_sheet

imageio = pytest.importorskip("imageio.v3")
SIZE = (64, 48)


def test_strips_begin_on_rows_of_their_own_and_end_in_blanks(humanoid, standing, opengl, tmp_path):
    path = tmp_path / "new" / "sheet.png"
    away = moved(standing, (0.0, 0.0, -50.0))
    strips = [[Frame(standing), Frame(standing), Frame(away)], [Frame(away)]]
    write_contact_sheet(path, humanoid, strips, columns=2, size=SIZE)
    sheet = imageio.imread(path).astype(int)
    assert sheet.shape == (3 * 48, 2 * 64, 3)
    rows = sheet.reshape(3, 48, 2, 64, 3).swapaxes(1, 2)  # [row, column, height, width, 3]
    assert (rows[1, 1] == 255).all()
    assert (rows[2, 1] == 255).all()
    assert abs(rows[0, 0] - rows[0, 1]).max() < 8  # the same, to the driver's rounding
    assert abs(rows[0, 0] - rows[1, 0]).max() > 60
    assert abs(rows[1, 0] - rows[2, 0]).max() < 8
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]


def test_another_suffix_is_refused_before_anything_is_drawn(humanoid, standing, tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.png, got .*sheet\.jpg"):
        write_contact_sheet(tmp_path / "sheet.jpg", humanoid, [[Frame(standing)]])

"""What is kept to look at is read as it was written, and a damaged file is named."""

import numpy as np
import pytest

from vaebench import results
from vaebench.core.errors import InputError

RUN = "0123456789abcdef"
IMAGES = results.Exhibit(
    results.About(name="about", caption="<b>", form="images", row_names=("x", "y")),
    np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 2, 2, 1),
)
LINES = results.Exhibit(
    results.About(name="file", caption="c", form="lines"), np.ones((1, 2, 5), np.float32)
)


def test_exhibits_are_read_as_they_were_written(tmp_path):
    assert results.exhibits(tmp_path, RUN) == []
    results.prepare(tmp_path)
    results.write_part(tmp_path, "exhibits", RUN, results.pack_exhibits([IMAGES, LINES]))
    read = results.exhibits(tmp_path, RUN)
    assert [one.about for one in read] == [IMAGES.about, LINES.about]
    for one, written in zip(read, [IMAGES, LINES], strict=True):
        assert one.x.dtype == written.x.dtype and np.array_equal(one.x, written.x)


@pytest.mark.parametrize(
    ("form", "x", "names"),
    [
        ("images", np.zeros((1, 2, 4, 4, 1), np.float32), ()),
        ("images", np.zeros((1, 2, 4, 4, 2), np.uint8), ()),
        ("images", np.zeros((1, 2, 4, 4), np.uint8), ()),
        ("lines", np.zeros((2, 3)), ()),
        ("lines", np.zeros((2, 0, 3)), ()),
        ("lines", np.zeros((2, 3, 4)), ("one name",)),
        ("columns", np.zeros((2, 3, 4)), ("a", "b")),
    ],
)
def test_what_cannot_be_drawn_is_no_exhibit(form, x, names):
    with pytest.raises(ValueError, match="has shape"):
        results.Exhibit(results.About(name="e", caption="c", form=form, row_names=names), x)


@pytest.mark.parametrize("cut", [0, 40, -30])
def test_a_damaged_file_is_named(tmp_path, cut):
    results.prepare(tmp_path)
    results.write_part(tmp_path, "exhibits", RUN, results.pack_exhibits([IMAGES])[:cut])
    with pytest.raises(InputError, match=rf"exhibits/{RUN}.npz must be"):
        results.exhibits(tmp_path, RUN)

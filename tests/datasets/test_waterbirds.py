import pytest
from tests.datasets import published_layouts as layouts
from tests.datasets.test_published import opened, refused


@pytest.fixture
def root(tmp_path):
    return layouts.waterbirds(tmp_path)


@pytest.fixture
def table(root):
    return root / "waterbird_complete95_forest2water2" / "metadata.csv"


def test_classes_splits_and_places_are_those_of_the_table(root, table):
    dataset = opened("waterbirds", root)
    assert dataset.classes == ("landbird", "waterbird")
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    found = {str(photo.path.relative_to(table.parent)): photo for photo in dataset.photos()}
    assert len(found) == len(rows) == 24
    for _, name, y, split, place, _ in rows:
        photo = found[name]
        assert photo.class_index == int(y)
        assert photo.split == ("train", "val", "test")[int(split)]
        assert photo.image_id.split("/")[1].startswith(("land-", "water-")[int(place)])


def test_the_folder_itself_will_do(table):
    assert len(opened("waterbirds", table.parent).photos()) == 24


def replace_line(table, number, line):
    lines = table.read_text().splitlines()
    lines[number - 1] = line
    table.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,a/b.jpg,2,0,0,x", "line 2: y is '2', allowed are 0 to 1"),
        ("1,a/b.jpg,1,3,0,x", "line 2: split is '3', allowed are 0 to 2"),
        ("1,a/b.jpg,1,0,,x", "line 2: place is '', allowed are 0 to 1"),
        ("1,../../b.jpg,1,0,0,x", "line 2: the file name '../../b.jpg' leads out"),
        ("1,,1,0,0,x", "line 2: the file name '' is empty"),
        ("1,a/b.jpg,1,0", "line 2: the row has not the 6 fields"),
        ("1,a/b.jpg,1,0,0,x,y", "line 2: the row has not the 6 fields"),
        ('1,"a/b.jpg,1,0,0,x', "no valid CSV"),
        ("1,a/b.jpg,1,0,0,x", "files that the annotations of Waterbirds list are missing: .*a/b.jpg"),
    ],
)
def test_wrong_rows_are_named(root, table, line, said):
    replace_line(table, 2, line)
    refused("waterbirds", root, said)


def test_a_table_with_other_columns_is_named(root, table):
    replace_line(table, 1, "img_id,file,y,split,background,place_filename")
    refused("waterbirds", root, r"metadata\.csv has no column img_filename, place \(found: img_id, file, y")
    table.write_text("")
    refused("waterbirds", root, r"has no column img_filename, y, split, place \(found: nothing\)")


def test_a_byte_order_mark_and_windows_lines_are_let_be(root, table):
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert len(opened("waterbirds", root).photos()) == 24

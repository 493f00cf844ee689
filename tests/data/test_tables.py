import gzip

import numpy as np
import pytest

import pellucid as pl
from pellucid.data.tables import read_table
from pellucid.errors import InvalidInput, InvalidOption, UnknownName, UnreadableFile


@pytest.fixture
def write(tmp_path):
    def make(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def rows(count=40, cell=lambda i: f"{i * 0.5},{'red' if i % 3 else 'blue'},{i % 2}"):
    return "".join(cell(i) + "\n" for i in range(count))


@pytest.mark.parametrize("mark", [",", "\t", ";", "|", "  "])
def test_delimiters_are_found(write, mark):
    text = ("size,colour,label\n" + rows()).replace(",", mark)
    table = read_table(write(text, "some.data"))
    assert table.names == ["size", "colour", "label"]
    assert table.frame["colour"][:3].to_list() == ["blue", "red", "red"]
    assert table.rows[:2].tolist() == [2, 3]


def test_a_named_delimiter_is_used(write):
    table = read_table(write("a;b,c;d\n1;2,3;4\n", "x.txt"), "comma")
    assert table.names == ["a;b", "c;d"]
    with pytest.raises(InvalidOption, match="semicolon"):
        read_table(write("a,b\n1,2\n"), "colon")


def test_a_header_is_noticed_or_missing(write):
    assert read_table(write("1.5,red,0\n2.5,blue,1\n")).names == ["column_1", "column_2", "column_3"]
    assert read_table(write("a,b\nx,y\nz,w\n")).names == ["a", "b"]
    assert read_table(write("x,y\nx,z\nw,y\n")).names == ["column_1", "column_2"]
    assert read_table(write("a,b\nx,y\n"), header=False).names == ["column_1", "column_2"]


def test_missing_cells_quotes_blank_lines_and_gzip(write):
    text = 'a,b\n?,"one, two"\n\nNA,"three\nfour"\n 7 ,NaN\n'
    table = read_table(write(gzip.compress(text.encode()), "x.csv.gz"))
    assert table.frame["a"].to_list() == [None, None, "7"]
    assert table.frame["b"].to_list() == ["one, two", "three\nfour", None]
    assert table.rows.tolist() == [2, 4, 6]  # a blank line and a cell over two lines, as an editor counts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n4,5\n", r"row 3 has 1 cells after column 'a', expected 2"),
        ("a,b\n1,2\n3,4,5\n", r"row 3 has 3 cells beyond column 'b', expected 2"),
        ("a,b,a\n1,2,3\n", "more than once: 'a'"),
        ("", "empty"),
        ("\n \n", "empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3,caf\xe9\n".encode("latin-1"), "row 3 is not UTF-8"),
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-12], "cut short"),
    ],
)
def test_bad_text_names_its_row(write, text, message):
    with pytest.raises(UnreadableFile, match=message):
        read_table(write(text))


def test_text_in_a_numeric_column_names_row_column_and_text(write):
    lines = [f"{i},{i % 2}" for i in range(40)]
    lines[17] = "twelve,1"
    path = write("age,label\n" + "\n".join(lines))
    with pytest.raises(UnreadableFile, match="row 19, column 'age': expected a finite number, got 'twelve'"):
        pl.data.load(path, target="label")
    data = pl.data.load(path, target="label", types={"age": "categorical"})
    assert data.encoder.columns[0].type == "categorical"
    path = write("age,label\n" + "\n".join(["inf,0", *lines[:16]]))
    with pytest.raises(UnreadableFile, match="row 2, column 'age'"):
        pl.data.load(path, target="label")


def test_medians_and_categories_come_from_training_rows_alone(write):
    draw = np.random.default_rng(3)
    values = draw.normal(size=60).round(3)
    cells = [("" if i % 5 == 0 else f"{v}") for i, v in enumerate(values)]
    path = write(
        "v,c,y\n"
        + "\n".join(
            f"{v},{'ab'[i % 2] if i % 7 else ''},{'no' if v_ < 0 else 'yes'}"
            for i, (v, v_) in enumerate(zip(cells, values))
        )
    )
    data = pl.data.load(path, target="y", seed=4)
    kept = data.train.ids - 2
    known = [values[i] for i in kept if i % 5]
    column = data.encoder.columns[0]
    assert column.fill == pytest.approx(np.median(known))
    assert data.train.feature_names[:2] == ("v", "v is missing")
    assert set(data.train.feature_names[2:]) == {"c=a", "c=b", "c=(missing)"}
    assert data.train.columns == ("v", "v", "c", "c", "c")
    for part in data:
        order = part.ids - 2
        expected = np.array([column.fill if i % 5 == 0 else values[i] for i in order], np.float32)
        np.testing.assert_allclose(part.x[:, 0], expected, rtol=1e-6)
        np.testing.assert_array_equal(part.x[:, 1], order % 5 == 0)
        np.testing.assert_array_equal(part.x[:, 2:].sum(1), 1)
        np.testing.assert_array_equal(part.y, values[order] >= 0)
    assert data.train.class_names == ("no", "yes")


def test_a_test_file_is_encoded_like_the_training_file(write):
    train = write(
        "size,colour,flag,label\n"
        + rows(40, lambda i: f"{i * 0.5},{'red' if i % 3 else 'blue'},{i % 4 < 2},{'ab'[i % 2]}"),
        "train.csv",
    )
    test = write("label,flag,colour,size,extra\nb,true,green,2,1\na,False,red,,1\n", "test.csv")
    data = pl.data.load(train, target="label", test=test)
    assert data.train.feature_names == ("size", "colour=red", "colour=blue", "flag")
    np.testing.assert_allclose(data.test.x, [[2, 0, 0, 1], [9.75, 1, 0, 0]])
    assert data.test.y.tolist() == [1, 0]
    told = " ".join(data.notes)
    assert "'green'" in told
    assert "never missing in training" in told
    assert "extra" in told


def test_a_bad_test_file_is_told(write):
    train = write("size,colour,label\n" + rows(), "train.csv")
    with pytest.raises(UnreadableFile, match=r"test.csv: no column named 'colour'; did you mean 'color'"):
        pl.data.load(train, target="label", test=write("size,color,label\n1,red,0\n", "test.csv"))
    with pytest.raises(UnreadableFile, match="row 2, column 'label': the class '7'"):
        pl.data.load(train, target="label", test=write("size,colour,label\n1,red,7\n", "test.csv"))
    with pytest.raises(UnreadableFile, match="row 3, column 'size'"):
        pl.data.load(train, target="label", test=write("size,colour,label\n1,red,0\nbig,red,0\n", "test.csv"))


def test_rare_categories_share_a_column_and_unseen_ones_go_there(write):
    cell = lambda i: f"{i % 50 if i < 300 else i % 5},{i % 2}"  # noqa: E731
    train = write("code,label\n" + rows(400, lambda i: "k" + cell(i)), "train.csv")
    test = write("code,label\nk1,0\nnew,1\n", "test.csv")
    data = pl.data.load(train, target="label", test=test)
    assert data.train.x.shape[1] == 31
    assert data.train.feature_names[-1] == "code=(other)"
    assert data.test.x[1, -1] == 1
    assert data.test.x.sum(1).tolist() == [1, 1]


def test_useless_columns_are_left_out_and_noted(write):
    text = "id,same,free,x,label\n" + rows(40, lambda i: f"{100 + i},k,text {i},{i % 7}.5,{i % 2}")
    data = pl.data.load(write(text), target="label")
    assert data.train.feature_names == ("x",)
    assert [c.type for c in data.encoder.columns] == ["identifier", "constant", "identifier", "numeric"]
    assert len(data.notes) == 3


def test_targets_become_classes_or_quantities(write):
    base = lambda f: write("x,y\n" + rows(60, lambda i: f"{i * 0.1},{f(i)}"))  # noqa: E731
    assert pl.data.load(base(lambda i: f"{i % 3 + 1}.0"), target="y").train.class_names == ("1", "2", "3")
    assert pl.data.load(base(lambda i: i * 1.5), target="y").train.class_names is None
    assert pl.data.load(base(lambda i: i), target=1).train.task == "regression"
    assert pl.data.load(base(lambda i: i % 3), target=-1, task="regression").train.y.dtype.kind == "f"


def test_bad_targets_are_told(write):
    path = write("size,colour,label\n" + rows())
    with pytest.raises(UnknownName, match="did you mean 'label'"):
        pl.data.load(path, target="lable")
    with pytest.raises(InvalidInput, match="size, colour, label"):
        pl.data.load(path)
    with pytest.raises(UnreadableFile, match=r"'y' is empty in 2 rows \(3, 5\)"):
        pl.data.load(write("x,y\n1,0\n2,\n3,1\n4,?\n"), target="y")
    with pytest.raises(InvalidInput, match="one row"):
        pl.data.load(write("x,y\n1,0\n"), target="y", header=True)
    with pytest.raises(InvalidInput, match="same in every row"):
        pl.data.load(write("x,y\n1,0\n2,0\n"), target="y")
    with pytest.raises(UnreadableFile, match="no column to learn from"):
        pl.data.load(write("x,y\n1,0\n1,1\n1,0\n1,1\n"), target="y")


def test_groups_are_never_torn(write):
    text = "who,x,label\n" + rows(200, lambda i: f"p{i % 23},{i * 0.1},{i % 2}")
    data = pl.data.load(write(text), target="label", groups="who", test=0.3)
    assert not set(data.train.groups) & set(data.test.groups)
    assert "who" not in data.train.feature_names
    assert 0.2 < len(data.test) / 200 < 0.4


def test_parquet(tmp_path):
    import polars

    frame = polars.DataFrame({
        "n": [1.5, None, float("nan"), 4.0] * 10, "b": [True, False] * 20, "c": ["u", " v", None, "w"] * 10,
        "day": [polars.Series(["2020-01-02"]).str.to_date()[0]] * 20 + [polars.Series(["2020-01-03"]).str.to_date()[0]] * 20,
        "y": ["a", "b"] * 20,
    })  # fmt: skip
    frame.write_parquet(tmp_path / "t.parquet")
    data = pl.data.load(tmp_path / "t.parquet", target="y")
    assert [c.type for c in data.encoder.columns] == ["numeric", "boolean", "categorical", "numeric"]
    assert data.encoder.columns[0].missing
    assert set(data.train.x[:, -1]) == {18263.0, 18264.0}  # days since 1970
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:200])
    with pytest.raises(UnreadableFile, match="cut short"):
        pl.data.load(tmp_path / "cut.parquet", target="y")
    frame.with_columns(polars.Series("l", [[1]] * 40)).write_parquet(tmp_path / "l.parquet")
    with pytest.raises(UnreadableFile, match="column 'l' holds List"):
        pl.data.load(tmp_path / "l.parquet", target="y")


def test_the_encoder_is_written_down_whole(write, tmp_path):
    from pellucid.core.record import decode, encode

    data = pl.data.load(write("size,colour,label\n" + rows()), target="label")
    arrays = {}
    assert decode(encode(data.encoder, arrays), arrays) == data.encoder


def test_real_tables(real_data):
    german = pl.data.load(real_data("german_credit/german.data"), target="CLASSIFICATION")
    assert (len(german.train), len(german.test)) == (750, 250)
    assert german.train.y.mean() == pytest.approx(0.7)
    assert len(set(german.train.columns)) == 20
    heart = pl.data.load(real_data("heart_disease/processed.hungarian.data"), target=-1)
    assert heart.train.class_names == ("0", "1")
    assert "column_11 is missing" in heart.train.feature_names

"""A table in place of a recipe, arrays or pictures: the lines that are printed make its arrays."""

import numpy as np
import pytest
from conftest import command

import keraskit

X = np.arange(80.0).reshape(40, 2)
PRICE = X.sum(1) * 1.5
ROWS = [(f"{a:g}", f"{b:g}", price, i) for i, ((a, b), price) in enumerate(zip(X, PRICE, strict=True))]
TABLES = {  # lines of a file, its encoding, its target, and the target's name
    "houses.csv": (["area,rooms,town,price", *(f"{a},{b},Bonn,{p}" for a, b, p, _ in ROWS)], "utf-8", PRICE, "price"),
    "it's [1].csv": ([f"{a},{b},{p}" for a, b, p, _ in ROWS], "utf-8", PRICE, "column 2"),
    "房价.csv": (["面积;房间;价格", *(f"{a};{b};{p}" for a, b, p, _ in ROWS)], "gb18030", PRICE, "价格"),
    "n.tsv": (["label\ta\tb", *(f"{i % 3}\t{a}\t{b}" for a, b, _, i in ROWS)], "utf-8-sig", np.arange(40) % 3, "label"),
    "iris.txt": ([f"{a}  {b} {'xy'[i % 2]}" for a, b, _, i in ROWS], "utf-8", np.array(["x", "y"] * 20), "column 2"),
    "q.csv": (
        ['"a, b",n,c,"y"', *(f'"{a}","x, y",{b},{i % 2}' for a, b, _, i in ROWS)],
        "utf-8",
        np.arange(40) % 2,
        "y",
    ),
}


def made(err):
    """What the printed lines make."""
    names = {"keraskit": keraskit}
    exec("\n".join(line.strip() for line in err.splitlines()[1:]), names)
    return names


@pytest.mark.parametrize("name", TABLES)
def test_the_lines_of_numpy_make_a_tables_arrays(name, here, tiny_run):
    lines, encoding, y, target = TABLES[name]
    (here / name).write_text("\n".join(lines), encoding)
    for words in (["run", name], ["run", "mlp", "--dataset", name, "--output-dir", "runs"]):
        code, _, err = command(*words)
        assert code == 2 and "is a table; " in err and f"# {target}" in err and "`keraskit new mine` begins one" in err
        found = made(err)
        assert np.array_equal(found["x"], X) and np.array_equal(found["y"], y)
        splits = found["data"]()
        assert splits.test.size == 8 and bool(splits.classes) == (y.dtype.kind == "U")
    code, _, err = command("predict", tiny_run.folder, name)
    assert code == 2 and "`predict` takes pictures, or the model's inputs as an .npy" in err
    made(err)
    assert np.array_equal(np.load((here / name).with_suffix(".npy")), X)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.xlsx", "PK", "a.xlsx is a table; a recipe is a Python file. Save it as .csv"),
        ("a.csv", "name,town\nx,y\n", "There is no recipe 'a.csv'"),
        ("none.csv", None, "There is no recipe 'none.csv'"),
    ],
)
def test_other_tables_are_one_line(name, text, words, here):
    if text is not None:
        (here / name).write_text(text)
    code, _, err = command("run", name)
    assert code == 2 and err.count("\n") == 1 and words in err

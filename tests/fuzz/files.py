"""Files of data that are fuzzed: pictures, arrays, archives."""

import gzip
import io
import shutil
import struct
import warnings
import zipfile

import h5py
import keras
import laws
import numpy as np
from hypothesis import strategies as st
from made import TEXT, damaged, encoded, small_arrays

from keraskit import decode
from keraskit.datasets import array_files
from keraskit.datasets.images import verify
from keraskit.datasets.images.labels import arrange
from keraskit.datasets.images.sources import open_files
from keraskit.models import applications

# Pictures

PICTURES = [
    *(encoded(form) for form in decode.FORMATS),
    *(encoded("PNG", mode=mode) for mode in ("L", "LA", "RGBA", "P", "1")),
    *(encoded("JPEG", mode=mode) for mode in ("L", "CMYK")),
    encoded("JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"),
    encoded("GIF", mode="P"),
    encoded("WEBP", lossless=True),
]


def check_picture(data, box):
    """A picture of 8 bits with pixels, or a reason."""
    image = laws.reads(lambda: decode.read(data), decode.BadPicture)
    if image is not None:
        assert image.mode in {"RGB", "L"} and min(image.size) > 0
        assert decode.pixels(image, (5, 7)).shape == (5, 7, 3) and decode.pixels(image, (5, 7), 1).shape == (5, 7)
        assert decode.middle(image).width <= image.width


# Arrays


def npz(arrays, **options):
    """The bytes of an .npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays, **options)
    return file.getvalue()


@st.composite
def odd_arrays(draw):
    """Keras's layout with one array of another kind or shape."""
    arrays = small_arrays()
    kind = draw(st.sampled_from(["u1", "i2", "i8", "f2", "f4", "f8", "c8", "?", "O", "U3", "M8[s]", "u1,f4", "S2"]))
    shape = draw(st.lists(st.integers(0, 7), max_size=5))
    name = draw(st.sampled_from([*arrays, "x", "../x"]))
    with np.errstate(all="ignore"):
        value = draw(st.sampled_from([0, 1, -1, 255, 300, 1e9]))
        arrays[name] = np.full(shape, value, "f8").astype(kind, casting="unsafe")
    return npz(arrays)


@st.composite
def forged(draw):
    """An .npz whose array says of itself what is not so."""
    header = draw(
        st.one_of(
            st.sampled_from(
                [
                    "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 28, 28), }",
                    "{'descr': '<f8', 'fortran_order': True, 'shape': (-1, 28), }",
                    "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
                    "{'descr': '|u1', 'fortran_order': False, 'shape': " + "(" * 200 + ")" * 200 + "}",
                    "__import__('os').system('touch x')",
                    "{'descr': [('a', '|u1'), ('a', '<f8')], 'fortran_order': False, 'shape': (2,)}",
                ]
            ),
            st.text(max_size=40),
        )
    ).encode("latin-1", "replace")
    version = draw(st.sampled_from([1, 2, 3, 9]))
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in array_files.NAMES:
            archive.writestr(
                f"{name}.npy", b"\x93NUMPY" + bytes([version, 0]) + size + header + draw(st.binary(max_size=9))
            )
    return file.getvalue()


@st.composite
def floats(draw):
    """Keras's layout with pixels as floats: from 0 to 1, from 0 to 255, or by a hair something else."""
    arrays = small_arrays()
    for name in ("x_train", "x_test"):
        scale = draw(st.sampled_from([1 / 255, 1 / 255, 1.0, 1.01 / 255, 1.5 / 255]))
        arrays[name] = (arrays[name] * scale).astype(draw(st.sampled_from(["f2", "f4", "f8"])))
        if draw(st.booleans()):
            arrays[name].flat[draw(st.integers(0, 99))] = draw(st.sampled_from([1.01, 1.5, 0.5, 2.0, 254.0]))
    return npz(arrays)


NPZ = st.one_of(damaged([npz(small_arrays())]), odd_arrays(), forged(), floats())


def check_npz(data, box):
    """Four arrays of the kinds that training takes, or a reason."""
    path = box.root / "case.npz"
    path.write_bytes(data)
    found = laws.reads(lambda: array_files.read(path))
    well_formed(found)
    if found is not None:  # what is read is what was written, on one scale, rounded
        factor = 255 if found[2]["scale"].startswith("0 to 1") else 1
        with np.load(path, allow_pickle=False) as given:
            for name in ("x_train", "x_test"):
                read = found[0][name]
                assert np.abs(read - factor * given[name].astype(float).reshape(read.shape)).max() <= 0.51


def well_formed(found):
    """What `array_files.read` promises."""
    if found is not None:
        arrays, labels = found[0], found[1].indices
        assert {a.dtype.name for a in arrays.values()} == {"uint8"} and labels["train"].dtype == int
        assert all(len(arrays[f"x_{split}"]) == len(labels[split]) > 0 for split in ("train", "test"))


def idx(array):
    """The bytes of an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


IDX = st.tuples(
    st.sampled_from(array_files.NAMES),
    st.one_of(
        damaged([idx(a) for a in small_arrays().values()]),
        st.builds(
            lambda kind, shape, data: (
                bytes([0, 0, kind, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape) + data
            ),
            st.integers(0, 255),
            st.lists(st.sampled_from([0, 1, 2, 28, 2**16, 2**31, 2**32 - 1]), max_size=8),
            st.binary(max_size=50),
        ),
        st.just(bytes([0, 0, 8, 1]) + (5).to_bytes(4, "big") + bytes(1_000_000)),
    ),
    st.sampled_from(["", ".gz", "broken.gz"]),
)


def check_idx(case, box):
    """The same for four IDX files, one of which is odd."""
    odd, data, ending = case
    shutil.rmtree(box.root / "idx")
    (box.root / "idx").mkdir()
    for name, array in small_arrays().items():
        content = data if name == odd else idx(array)
        content = gzip.compress(content, 1) if ending == ".gz" else content
        (box.root / "idx" / f"{array_files.IDX_FILES[name]}-ubyte{ending[-3:]}").write_bytes(content)
    well_formed(laws.reads(lambda: array_files.read(box.root / "idx")))


# Archives

NAME = st.one_of(
    st.sampled_from(
        ["cat/1.png", "cat.1.png", "dog.2.jpg", "../x.png", "/etc/x.png", "c:x.png", "a\\b.png", "train/cat/3.png"]
    ),
    st.builds(lambda kind, n: f"{kind}/{n}.png", TEXT, st.one_of(st.integers(0, 99), st.just("9" * 5_000))),
)


@st.composite
def archives(draw):
    """A zip with good pictures, odd names and contents, and perhaps damage."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for kind in ("cat", "dog"):
            for i in range(draw(st.sampled_from([0, 5]))):
                archive.writestr(f"pets/{kind}/{i}.png", PICTURES[1])
        for name in draw(st.lists(NAME, max_size=4)):
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            info.external_attr = draw(st.sampled_from([0, 0o120777 << 16, 0o10644 << 16]))
            info.compress_type = draw(st.sampled_from([0, 8, 12, 14]))
            archive.writestr(info, draw(st.sampled_from([b"", PICTURES[1], b"../../etc/passwd", bytes(100_000)])))
    data = file.getvalue()
    return draw(damaged([data])) if draw(st.booleans()) else data


ARCHIVES = archives()


def check_archive(data, box):
    """Read where it is; nothing is written but what was checked."""
    path = box.root / "case.zip"
    path.write_bytes(data)
    with laws.writing_only(box.cache):
        files = laws.reads(lambda: open_files(path))
        if files is not None:
            laws.reads(lambda: arrange(files.names, path))
            laws.reads(lambda: verify.check(files, files.names))


# Weights


def h5(fill):
    """The bytes of an HDF5 file."""
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        fill(opened)
    return file.getvalue()


@st.composite
def weights(draw):
    """Keras's weights of the tiny model, and what else may stand in such a file: nests, many groups, odd arrays."""
    shape = draw(st.sampled_from([(4, 2), (2, 4), (4, 3), (0,), (), (4, 2, 1)]))
    kind = draw(st.sampled_from(["f4", "f8", "i8", "S3", "f2", "c8"]))
    depth, many = draw(st.sampled_from([0, 0, 3, 60, 300])), draw(st.sampled_from([0, 0, 5, 2_000]))
    text = draw(TEXT).replace("/", "_").replace("\0", "_")

    def fill(file):
        group = file.create_group("layers/dense/vars")
        group["0"], group["1"] = np.zeros(shape, kind), np.zeros(2, "f4")
        inner = file
        for _ in range(depth):
            inner = inner.create_group("g")
        for i in range(many):
            file.create_group(f"more/{i}")
        file.attrs["layer_names"] = [text.encode("utf-8", "replace")]

    return h5(fill)


WEIGHTS = st.tuples(
    st.one_of(weights(), weights().flatmap(lambda data: damaged([data]))), st.sampled_from([".weights.h5", ".h5"])
)


def check_weights(case, box):
    """They fill the model, or are refused with a reason."""
    data, ending = case
    path = box.root / f"case{ending}"
    path.write_bytes(data)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="dense")])
    before = model.get_weights()
    laws.reads(lambda: applications.load_file(model, path))
    assert [w.shape for w in model.get_weights()] == [w.shape for w in before]
    path.unlink()

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from edgenn.data.mat5 import read_arrays
from edgenn.errors import DataError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("packed", [False, True])
def test_what_scipy_writes(tmp_path, packed):
    arrays = {
        "d": RNG.normal(size=(7, 3)),
        "cube": RNG.normal(size=(4, 3, 5)).astype(np.float32),
        "n": RNG.integers(-9, 9, (6, 2)).astype(np.int16),
        "one": 50.0,
    }
    others = {"text": "a word", "z": np.ones((2, 2)) * 1j, "s": {"a": 1}, "b": np.eye(2) > 0}
    savemat(tmp_path / "a.mat", {**arrays, **others}, do_compression=packed)
    found = read_arrays(tmp_path / "a.mat")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == np.float64
        assert np.array_equal(found[name], np.atleast_2d(array))


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_files_are_told_and_never_crash(tmp_path, packed):
    savemat(
        tmp_path / "a.mat", {"d": RNG.normal(size=(9, 3)), "s": {"a": 1}}, do_compression=packed
    )
    whole = (tmp_path / "a.mat").read_bytes()
    told = 0
    for i in range(800):
        data = bytearray(whole[: None if i % 4 else RNG.integers(len(whole))])
        for k in RNG.integers(0, min(len(data), 300) or 1, 4):
            data[k : k + 1] = [RNG.integers(256)]
        (tmp_path / "b.mat").write_bytes(data)
        try:
            read_arrays(tmp_path / "b.mat")
        except DataError as error:
            told += "MATLAB" in str(error)
    assert told > 200


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_arrays(tmp_path / "a.mat")


@pytest.mark.parametrize(
    "name", ["inertial/a1_s1_t1_inertial.mat", "skeleton/a9_s3_t2_skeleton.mat"]
)
def test_utd_mhad_as_scipy_reads_it(real_data, name):
    path = real_data / "gestures/utd-mhad" / name
    found = read_arrays(path)
    wanted = {k: v for k, v in loadmat(path).items() if k[0] != "_"}
    assert found.keys() == wanted.keys()
    for key, array in wanted.items():
        assert np.array_equal(found[key], array)

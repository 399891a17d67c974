from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from edgenn.bundle.manifest import ImageInput
from edgenn.data import Dataset, Recording
from edgenn.data.feed import Feed, collate, input_spec
from edgenn.data.images import read
from edgenn.data.load import load_dataset
from edgenn.errors import DataError
from edgenn.ops.preprocess import ImagePreprocessor, Letterbox, Normalize, Resize


@pytest.fixture
def boxed(photo, write, tmp_path):
    """Ten pictures of unlike size with boxes, one of them background."""
    for i in range(10):
        photo(f"images/{i}.jpg", (60 + 40 * i, 300 - 20 * i))
        if i:
            write(f"labels/{i}.txt", "0 .5 .5 .4 .4\n1 .3 .4 .2 .3\n")
    return tmp_path


@pytest.fixture
def feeds(recipe, boxed):
    """Makes the two feeds of the boxed pictures; the recipe may vary."""

    def make(**sections):
        keys = {"labels": ["a", "b"], "split": {"by": "sample"}}
        asked = recipe("yolo", keys, **{"input": {"imgsz": [64, 96]}, **sections})
        dataset = load_dataset(asked, boxed)
        spec = input_spec(asked, dataset)
        return Feed(dataset.train, asked, spec, train=True), Feed(
            dataset.val, asked, spec, train=False
        )

    return make


def same(a, b):
    return (
        np.array_equal(a.x, b.x)
        and np.array_equal(a.boxes, b.boxes)
        and np.array_equal(a.class_ids, b.class_ids)
    )


def test_validation_sample_is_what_a_device_computes(feeds, recipe):
    _, val = feeds()
    prepare = ImagePreprocessor(
        (Letterbox((64, 96)), Normalize((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))),
        "rgb",
        "nchw",
    )
    for i in range(len(val)):
        sample, (boxes, ids) = val[i], val.truth(i)
        x, geometry = prepare(val.raw(i))
        assert sample.x.shape == (3, 64, 96)
        assert sample.x.dtype == np.float32
        assert np.array_equal(sample.x, x[0])
        assert np.array_equal(sample.class_ids, ids)
        np.testing.assert_allclose(sample.boxes, geometry.to_net(boxes), atol=1e-3)
        assert sample.index == i
        assert val.frame_size(i) == val.raw(i).shape[:2]
        val.set_epoch(5)
        assert same(val[i], sample)


def test_training_sample_depends_on_seed_epoch_and_number(feeds):
    train, _ = feeds(augment={"mosaic": 0.5, "rotate": 5})
    again, _ = feeds(augment={"mosaic": 0.5, "rotate": 5})
    other, _ = feeds(augment={"mosaic": 0.5, "rotate": 5}, seed=1)
    for feed in (train, again):
        feed.set_epoch(2)
    first = [train[i] for i in range(len(train))]
    assert all(same(again[i], first[i]) for i in reversed(range(len(train))))
    train.set_epoch(3)
    assert not any(same(train[i], first[i]) for i in range(len(train)))
    other.set_epoch(2)
    assert not same(other[0], first[0])
    train.set_epoch(2)
    assert same(train[4], first[4])


def test_pickled_feed_gives_the_same_and_is_small(feeds):
    train, val = feeds(augment={"mosaic": 0.5})
    for feed in (train, val):
        text = pickle.dumps(feed)
        assert len(text) < 20_000
        copy = pickle.loads(text)
        for i in range(len(feed)):
            assert same(copy[i], feed[i])


def test_pictures_that_do_not_fit_into_memory_are_decoded_again(feeds, monkeypatch):
    train, val = feeds()
    wanted = [feed[i] for feed in (train, val) for i in range(len(feed))]
    monkeypatch.setattr("edgenn.data._kept.CACHE_BYTES", 50_000)
    small = [feed[i] for feed in feeds() for i in range(len(feed))]
    assert all(same(a, b) for a, b in zip(wanted, small, strict=True))


def test_boxes_follow_from_file_to_net(recipe, tmp_path):
    """A white rectangle is found in the net's input where the sample says."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for i in range(6):
        image = np.zeros((300, 400 + i, 3), np.uint8)
        image[100:200, 120:240] = 255
        cv2.imwrite(str(tmp_path / f"images/{i}.png"), image)
        line = f"0 {180 / (400 + i)} .5 {120 / (400 + i)} {100 / 300}"
        (tmp_path / f"labels/{i}.txt").write_text(line)
    for resize in ("letterbox", "stretch"):
        asked = recipe(
            "yolo",
            {"labels": ["a"], "split": {"by": "sample"}},
            input={"imgsz": [64, 96], "resize": resize},
            augment={"hsv": [0, 0, 0]},
        )
        dataset = load_dataset(asked, tmp_path)
        spec = input_spec(asked, dataset)
        for feed in (Feed(dataset.train, asked, spec, train=True),
                     Feed(dataset.val, asked, spec, train=False)):  # fmt: skip
            for i in range(len(feed)):
                sample = feed[i]
                ys, xs = np.nonzero(sample.x[0] > 1.5)
                found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                np.testing.assert_allclose(sample.boxes[0], found, atol=1.3)


def test_last_epochs_are_plain(feeds):
    sections = {
        "augment": {"mosaic": 1.0, "scale": (0.3, 0.3), "flip": 0, "translate": 0,
                    "hsv": (0, 0, 0), "last_epochs_plain": 2},
        "train": {"epochs": 5},
    }  # fmt: skip
    train, _ = feeds(**sections)
    plain, _ = feeds(augment={**sections["augment"], "mosaic": 0, "scale": (1, 1)})
    train.set_epoch(2)
    assert not same(train[0], plain[0])
    train.set_epoch(3)
    assert all(same(train[i], plain[i]) for i in range(len(train)))


def test_collate(feeds, recipe, photo, tmp_path):
    train, _ = feeds()
    x, targets = collate([train[0], train[1]])
    assert x.shape == (2, 3, 64, 96)
    assert [boxes.shape[1] for boxes, _ in targets] == [4, 4]
    for name in "ab":
        for i in range(3):
            photo(f"signs/{name}/{i}.jpg")
    asked = recipe("imagefolder", input={"imgsz": 32, "resize": "stretch"})
    dataset = load_dataset(asked, tmp_path / "signs")
    spec = input_spec(asked, dataset)
    assert spec.steps[0] == Resize((32, 32))
    feed = Feed(dataset.train, asked, spec, train=True)
    x, y = collate([feed[i] for i in range(len(feed))])
    assert x.shape == (len(feed), 3, 32, 32)
    assert y.dtype == np.int64
    assert y.tolist() == [feed.truth(i)[1][0] for i in range(len(feed))]


def test_number_out_of_range_ends_iteration(feeds):
    _, val = feeds()
    assert len(list(val)) == len(val)


def waves(classes=(0, 1), length=60, extra=()):
    rng = np.random.default_rng(0)
    recordings = [
        Recording(f"r{k}", rng.normal(5 * k, 2, (length, 2)).astype(np.float32),
                  np.full(length, c), 50.0, f"g{k}")
        for k, c in enumerate(classes)
    ]  # fmt: skip
    return (*recordings, *extra)


@pytest.fixture
def sequence(recipe):
    def make(recordings, *, train, **sections):
        asked = recipe("npz", input={"window": 20, "stride": 10}, **sections)
        dataset = Dataset(("a", "b"), recordings, (), ("x", "y"), 50.0)
        spec = input_spec(asked, dataset)
        return Feed(recordings, asked, spec, train=train), spec

    return make


def test_windows_are_normalised_by_the_training_readings(sequence):
    feed, spec = sequence(waves(), train=False)
    x, y = collate([feed[i] for i in range(len(feed))])
    assert (spec.length, spec.stride, spec.rate, spec.channels) == (20, 10, 50.0, ("x", "y"))
    assert x.shape == (10, 20, 2)
    assert y[:, -1].tolist() == [0] * 5 + [1] * 5
    assert (y[:, :-1] == -1).all()
    whole = np.concatenate([x[0], x[2], x[4], x[5], x[7], x[9]])
    np.testing.assert_allclose(whole.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(whole.std(0), 1, atol=1e-4)
    assert np.array_equal(feed.raw(1), waves()[0].values[10:30])
    step = spec.steps[0]
    np.testing.assert_allclose(feed[1].x, (feed.raw(1) - step.mean) / step.std, atol=1e-4)


def test_units_must_fit_the_channels(sequence):
    spec = sequence(waves(), train=False, data={"units": ["g", "deg/s"]})[1]
    assert spec.units == ("g", "deg/s")
    with pytest.raises(DataError, match="3 units for 2 channels: x, y"):
        sequence(waves(), train=False, data={"units": ["g"] * 3})


def test_ranges_are_those_of_the_training_readings(sequence):
    values = np.random.default_rng(0).normal(size=(5000, 2)).astype(np.float32)
    values[7] = (900, -900)  # a single glitch is no range
    recording = Recording("r", values * [1, 10], np.zeros(5000, np.int64), 50.0, "g")
    spec = sequence((recording,), train=False)[1]
    np.testing.assert_allclose(spec.ranges, [(-3.1, 3.1), (-31, 31)], rtol=0.15)


def test_no_readings_are_said(sequence):
    with pytest.raises(DataError, match="no sensor readings to train on"):
        sequence((), train=False)


def test_constant_channel_stays_quiet(sequence):
    values = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    values[:, 1] = 7.3
    feed, spec = sequence((Recording("r", values, np.zeros(60, np.int64), 50.0, "g"),), train=False)
    assert spec.steps[0].std[1] == 1.0
    assert abs(feed[0].x[:, 1]).max() < 1e-4


def test_windows_without_a_clear_class_are_no_samples(sequence):
    ids = np.repeat([0, -1, 1], [33, 30, 37])
    values = np.zeros((100, 2), np.float32)
    values[:, 0] = np.arange(100)
    feed, _ = sequence((Recording("r", values, ids, 50.0, "g"),), train=False)
    starts = [int(feed.raw(i)[0, 0]) for i in range(len(feed))]
    # At 10 all readings are class 0, at 20 only 13 of 20; at 60 17 are class 1.
    assert starts == [0, 10, 60, 70, 80]
    assert [int(feed.truth(i)[1][-1]) for i in range(len(feed))] == [0, 0, 1, 1, 1]


def test_training_windows_move_and_keep_their_class(sequence):
    ids = np.repeat([0, 1], [50, 50])
    values = np.zeros((100, 2), np.float32)
    values[:, 0] = np.arange(100)
    recordings = (Recording("r", values, ids, 50.0, "g"),)
    feed, spec = sequence(recordings, train=True, augment={"jitter": 0, "magnitude": 0})
    step = spec.steps[0]
    seen = set()
    for epoch in range(30):
        feed.set_epoch(epoch)
        for i in range(len(feed)):
            sample = feed[i]
            start = round(float(sample.x[0, 0] * step.std[0] + step.mean[0]))
            seen.add(start)
            inside = ids[start : start + 20]
            assert (inside == sample.class_ids.max()).mean() >= 0.8
            asked = sample.class_ids >= 0
            assert (sample.class_ids[asked] == inside[asked]).all()
            assert not asked[:5].any()
    assert min(seen) == 0
    assert max(seen) == 80
    assert len(seen) > 50
    fixed, _ = sequence(recordings, train=True,
                        augment={"jitter": 0, "magnitude": 0, "shift": False})  # fmt: skip
    assert np.array_equal(fixed[1].x, sequence(recordings, train=False)[0][1].x)


def test_clips_of_any_length_become_a_batch_whose_steps_end_with_them(recipe):
    lengths = (50, 37, 20)
    recordings = [
        Recording(f"r{n}", np.arange(2.0 * n, dtype=np.float32).reshape(n, 2),
                  np.full(n, n % 2), 50.0, "g")
        for n in lengths
    ]  # fmt: skip
    asked = recipe("npz", input={"sample": "clip"})
    spec = input_spec(asked, Dataset(("a", "b"), tuple(recordings), (), ("x", "y"), 50.0))
    feed = Feed(recordings, asked, spec, train=False)
    x, y = collate([feed[i] for i in range(3)], step=4)
    assert x.shape == (3, 48, 2)
    for row, n in enumerate(lengths):
        kept = n // 4 * 4
        assert np.array_equal(x[row, :kept], feed[row].x[n - kept :])
        assert (x[row, kept:] == 0).all()
        assert y[row].tolist() == [-1] * (kept - 1) + [n % 2] + [-1] * (48 - kept)


def test_a_gesture_need_not_be_known_at_its_beginning(recipe):
    recordings = [Recording("r", np.zeros((60, 2), np.float32), np.ones(60, np.int64), 50.0, "g")]
    asked = recipe("npz", input={"sample": "clip"}, train={"settle": 0.7})
    spec = input_spec(asked, Dataset(("a", "b"), tuple(recordings), (), ("x", "y"), 50.0))
    ids = Feed(recordings, asked, spec, train=True)[0].class_ids
    assert ids.tolist() == [-1] * 42 + [1] * 18


def test_raw_is_the_file(feeds, boxed):
    _, val = feeds()
    assert any(np.array_equal(val.raw(0), read(p)) for p in (boxed / "images").iterdir())


def test_real_photos(recipe, real_data):
    asked = recipe("voc", {"split": {"by": "given"}}, input={"imgsz": 160})
    dataset = load_dataset(asked, real_data / "detection/fruit")
    spec = input_spec(asked, dataset)
    assert isinstance(spec, ImageInput)
    feed = Feed(dataset.val, asked, spec, train=False)
    assert len(feed) == 60
    for i in range(0, 60, 12):
        sample = feed[i]
        assert np.isfinite(sample.x).all()
        assert (sample.boxes >= -0.01).all()
        assert (sample.boxes <= 160.01).all()

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgenn.ops.boxes import iou as numpy_iou
from edgenn.ops.decode.ltrb import build as ltrb
from edgenn.ops.decode.ltrb import centers, to_boxes
from edgenn.train.assign import Truth, assign, giou, iou
from edgenn.train.losses import CrossEntropy, Detection, class_weights, pad

SIZE, STRIDES = (64, 96), (8, 16, 32)
PICTURE = torch.zeros(1, 3, *SIZE)
POINTS = torch.from_numpy(centers(SIZE, STRIDES)[0])


def random_boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(4, 30, (count, 2))], 1).astype(np.float32)


def test_iou_is_that_of_the_runtime():
    a, b = random_boxes(7), random_boxes(5, seed=1)
    ours = iou(torch.from_numpy(a)[:, None], torch.from_numpy(b)[None])
    np.testing.assert_allclose(ours, numpy_iou(a, b), atol=1e-6)


def test_giou_by_hand():
    a = torch.tensor([[0.0, 0, 2, 2]])
    b = torch.tensor([[1.0, 1, 3, 3]])
    assert giou(a, b).item() == pytest.approx(1 / 7 - 2 / 9)
    assert giou(a, a).item() == pytest.approx(1)


def naive(scores, boxes, truth_boxes, truth_classes, top=13):
    """The paper's rule, one box and one cell at a time."""
    found = {}
    overlaps = numpy_iou(truth_boxes, boxes)
    for m, (box, c) in enumerate(zip(truth_boxes, truth_classes, strict=True)):
        ranked = []
        for n, (x, y) in enumerate(POINTS.tolist()):
            if box[0] <= x <= box[2] and box[1] <= y <= box[3] and overlaps[m, n] > 0:
                ranked.append((float(scores[n, c]) * float(overlaps[m, n]) ** 6, n))
        for metric, n in sorted(ranked, reverse=True)[:top]:
            if n not in found or overlaps[m, n] > overlaps[found[n][0], n]:
                found[n] = (m, metric)
    quality = {}
    for n, (m, metric) in found.items():
        mine = [k for k, (other, _) in found.items() if other == m]
        best = max(found[k][1] for k in mine)
        quality[n] = (m, metric / best * max(overlaps[m, k] for k in mine))
    return quality


def test_assignment_is_the_papers():
    rng = np.random.default_rng(3)
    wide = np.float32([[8, 8, 40, 40], [24, 16, 72, 60], [50, 4, 90, 30]])
    classes = np.array([0, 2, 1])
    scores = rng.uniform(0.05, 0.9, (len(POINTS), 3)).astype(np.float32)
    reach = rng.uniform(4, 30, (len(POINTS), 4)).astype(np.float32)
    points = POINTS.numpy()
    boxes = np.concatenate([points - reach[:, :2], points + reach[:, 2:]], 1)
    got = assign(
        torch.from_numpy(scores)[None],
        torch.from_numpy(boxes)[None],
        POINTS,
        pad([(wide, classes)], torch.device("cpu")),
        8,
    )
    wanted = naive(scores, boxes, wide, classes)
    assert set(got.positive[0].nonzero()[:, 0].tolist()) == set(wanted)
    for n, (m, quality) in wanted.items():
        assert int(got.index[0, n]) == m
        assert float(got.quality[0, n]) == pytest.approx(quality, rel=1e-4)


def test_tiny_box_between_centres_gets_a_cell():
    tiny = np.float32([[15.0, 15.0, 17.0, 17.0]])
    truth = pad([(tiny, np.array([0]))], torch.device("cpu"))
    scores = torch.full((1, len(POINTS), 1), 0.01)
    boxes = torch.cat([POINTS - 8, POINTS + 8], 1)[None]
    assert assign(scores, boxes, POINTS, truth, 8).positive.any()


def test_padding_and_empty_pictures_get_nothing():
    truth = pad(
        [
            (np.zeros((0, 4), np.float32), np.zeros(0, np.int64)),
            (random_boxes(3), np.zeros(3, np.int64)),
        ],
        torch.device("cpu"),
    )
    assert isinstance(truth, Truth)
    scores = torch.full((2, len(POINTS), 2), 0.5)
    boxes = torch.cat([POINTS - 10, POINTS + 10], 1).expand(2, -1, -1)
    got = assign(scores, boxes, POINTS, truth, 8)
    assert not got.positive[0].any()
    assert got.quality[0].sum() == 0
    assert got.positive[1].any()


def test_detection_loss_leads_to_boxes_that_the_runtime_decodes():
    """Free tensors in place of a net: what the loss wants must be what the decoder reads."""
    truth = np.float32([[10, 12, 40, 50], [50, 8, 88, 30]])
    classes = np.array([1, 0])
    loss = Detection(STRIDES)
    distances = torch.full((1, len(POINTS), 4), 2.0, requires_grad=True)
    logits = torch.full((1, len(POINTS), 2), -4.6, requires_grad=True)
    optimizer = torch.optim.Adam([distances, logits], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        out = loss((distances.relu(), logits), [(truth, classes)], PICTURE)
        out.total.backward()
        optimizer.step()
    decode = ltrb({"strides": list(STRIDES), "conf": 0.5}, ("a", "b"), SIZE)
    arrays = {"boxes": distances.relu().detach().numpy(), "scores": logits.detach().numpy()}
    found = decode(arrays, None)
    order = np.argsort(found.class_ids)
    assert found.class_ids[order].tolist() == [0, 1]
    np.testing.assert_allclose(found.boxes[order], truth[::-1], atol=1.0)


def test_detection_loss_of_empty_pictures_is_finite_and_pushes_scores_down():
    logits = torch.zeros(2, len(POINTS), 3, requires_grad=True)
    distances = torch.ones(2, len(POINTS), 4, requires_grad=True)
    empty = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    out = Detection(STRIDES)((distances, logits), [empty, empty], PICTURE)
    out.total.backward()
    assert torch.isfinite(out.total)
    assert (logits.grad > 0).all()


def test_resemblance_falls_to_nothing_where_both_nets_agree():
    loss = Detection(STRIDES)
    generator = torch.Generator().manual_seed(0)
    distances = torch.rand(1, len(POINTS), 4, generator=generator) * 3
    logits = torch.randn(1, len(POINTS), 2, generator=generator)
    theirs = (loss.boxes(distances, SIZE)[1], logits)
    assert float(sum(loss.resemblance((distances, logits), theirs, SIZE))) < 1e-5
    what, where = loss.resemblance((distances + 1, logits - 1), theirs, SIZE)
    assert what > 0.01
    assert where > 0.1


def test_boxes_where_the_teacher_sees_nothing_do_not_matter():
    loss = Detection(STRIDES)
    nothing = torch.full((1, len(POINTS), 1), -20.0)
    ones = torch.ones(1, len(POINTS), 4)
    theirs = (loss.boxes(ones, SIZE)[1], nothing)
    assert float(loss.resemblance((ones * 5, nothing), theirs, SIZE)[1]) < 1e-4


@pytest.mark.parametrize("form", ["edges", "centre"])
def test_boxes_are_those_of_the_runtime_in_each_form(form):
    values = np.random.default_rng(0).uniform(-0.5, 2, (len(POINTS), 4)).astype(np.float32)
    ours = Detection(STRIDES, form).boxes(torch.from_numpy(values)[None], SIZE)[1][0]
    theirs = to_boxes(values, *centers(SIZE, STRIDES), form)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_centre_form_by_hand():
    points, scales = centers(SIZE, STRIDES)
    values = np.tile(np.float32([0.75, 0.5, np.log(2), np.log(3)]), (len(points), 1))
    boxes = to_boxes(values, points, scales, "centre")
    # The first cell of stride 8 has its centre at 4, 4.
    np.testing.assert_allclose(boxes[0], [6 - 8, 4 - 12, 6 + 8, 4 + 12], atol=1e-5)


def test_cross_entropy_with_smoothing_by_hand():
    logits = torch.tensor([[2.0, 0.0, 0.0]])
    log = torch.log_softmax(logits, 1)[0]
    out = CrossEntropy(0.3)(logits, torch.tensor([0]), logits)
    assert out.total.item() == pytest.approx(float(-(0.8 * log[0] + 0.1 * log[1] + 0.1 * log[2])))


def test_class_weights_even_out_a_rare_class():
    counts = np.array([90, 10, 0])
    weights = class_weights(counts, 1.0).numpy()
    assert weights[0] * 90 == pytest.approx(weights[1] * 10)
    assert (weights * counts).sum() == pytest.approx(100)
    assert weights[2] == 0
    np.testing.assert_allclose(class_weights(counts, 0.0)[:2], 1)

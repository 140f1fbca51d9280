"""Network, assignment and losses of the dense detector."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

from engine.errors import InputError
from engine.windows.grid import WindowGrid
from train.dense.loss import DenseLoss, generalised_iou, pairwise_iou
from train.networks.dense import DenseDetector, DenseOutputs, DenseSettings

INPUT_WH = (96, 64)
GRID = WindowGrid(INPUT_WH)


def _outputs(logits: float = 0.0, distances: float = 1.0) -> DenseOutputs:
    count = len(GRID)
    return DenseOutputs(
        torch.full((1, count), logits),
        torch.full((1, count, 4), distances),
        torch.zeros(1),
        torch.zeros(1, count),
    )


def _truth(*boxes: tuple[float, float, float, float]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    padded = torch.zeros(1, max(1, len(boxes)), 4)
    present = torch.zeros(1, max(1, len(boxes)), dtype=torch.bool)
    masks = torch.zeros(1, INPUT_WH[1] // 8, INPUT_WH[0] // 8)
    for row, (x1, y1, x2, y2) in enumerate(boxes):
        padded[0, row] = torch.tensor((x1, y1, x2, y2))
        present[0, row] = True
        masks[0, int(y1) // 8 : int(y2 + 7) // 8, int(x1) // 8 : int(x2 + 7) // 8] = 1
    return padded, present, masks


def test_shapes_and_positions_agree_with_the_grid() -> None:
    network = DenseDetector(DenseSettings(channels=32)).eval()
    width, height = INPUT_WH
    with torch.no_grad():
        outputs = network(torch.zeros(2, 3, height, width))
    assert outputs.logits.shape == (2, len(GRID))
    assert outputs.distances.shape == (2, len(GRID), 4)
    assert outputs.mask.shape == (2, len(GRID))
    assert (outputs.distances >= 0).all()


class _Coordinates(torch.nn.Module):
    """Stands for trunk and neck: the features of each cell are the coordinates of its centre."""

    def forward(self, _: object) -> list[torch.Tensor]:
        levels = []
        for stride in GRID.strides:
            xs = (torch.arange(INPUT_WH[0] // stride) + 0.5) * stride
            ys = (torch.arange(INPUT_WH[1] // stride) + 0.5) * stride
            y, x = torch.meshgrid(ys, xs, indexing="ij")
            levels.append(torch.stack([x, y])[None])
        return levels


@pytest.mark.parametrize("axis", [0, 1])
def test_order_of_positions_is_that_of_the_grid(axis: int) -> None:
    network = DenseDetector(DenseSettings(channels=2, head_layers=0)).eval()
    network.neck = _Coordinates()  # type: ignore[assignment]
    with torch.no_grad():
        for layer in (network.score, network.box):
            layer.weight.zero_()[0, axis] = 1
            assert layer.bias is not None
            layer.bias.zero_()
        outputs = network(torch.zeros(1, 3, INPUT_WH[1], INPUT_WH[0]))
    assert outputs.logits[0].tolist() == GRID.centres_xy[:, axis].tolist()
    assert outputs.distances[0, :, 0].numpy() == pytest.approx(GRID.centres_xy[:, axis], abs=0.1)


def test_positions_inside_the_polyp_are_chosen() -> None:
    loss = DenseLoss(GRID, candidates=5)
    boxes, present, masks = _truth((16, 16, 48, 48))
    outputs = _outputs()
    targets, target_boxes = loss._assign(outputs.logits, loss._decode(outputs.distances), boxes, present, masks)
    chosen = targets[0] > 0
    assert 1 <= int(chosen.sum()) <= 5
    centres = torch.from_numpy(GRID.centres_xy)[chosen]
    assert ((centres > 16) & (centres < 48)).all()
    assert (target_boxes[0][chosen] == boxes[0, 0]).all()
    # A box of two strides around a centre fits best at stride 16: the highest target is there.
    assert GRID.stride_of[int(targets[0].argmax())] == 16


def test_how_well_boxes_fit_counts_in_scores_as_far_as_asked() -> None:
    boxes, present, masks = _truth((16, 16, 48, 48))
    outputs = _outputs()

    def highest(quality: float) -> float:
        loss = DenseLoss(GRID, quality=quality)
        targets, _ = loss._assign(outputs.logits, loss._decode(outputs.distances), boxes, present, masks)
        return float(targets.max())

    overlap = float(pairwise_iou(boxes, DenseLoss(GRID)._decode(outputs.distances)).max())
    assert 0.3 < overlap < 0.9
    assert [highest(quality) for quality in (1.0, 0.5, 0.0)] == pytest.approx([overlap, overlap**0.5, 1.0])


def test_a_polyp_smaller_than_the_grid_still_gets_a_position() -> None:
    loss = DenseLoss(GRID)
    boxes, present, masks = _truth((33, 33, 35, 35))
    outputs = _outputs()
    targets, _ = loss._assign(outputs.logits, loss._decode(outputs.distances), boxes, present, masks)
    assert int((targets > 0).sum()) == 1


def test_a_picture_without_polyp_gives_no_target_and_no_box_loss() -> None:
    parts = DenseLoss(GRID)(_outputs(logits=-9.0), *_truth())
    assert float(parts["box"]) == 0.0
    assert float(parts["score"]) == pytest.approx(0.0, abs=1e-4)


def test_better_outputs_cost_less() -> None:
    truth = _truth((16, 16, 48, 48))
    loss = DenseLoss(GRID)
    centres, strides = torch.from_numpy(GRID.centres_xy), torch.from_numpy(GRID.stride_of)
    box = truth[0][0, 0]
    right = (torch.cat([centres - box[:2], box[2:] - centres], 1) / strides[:, None]).clamp(min=0)[None]
    good = _outputs()._replace(distances=right)
    assert float(loss(good, *truth)["box"]) < 0.05 < float(loss(_outputs(), *truth)["box"])
    assert float(loss(_outputs(logits=3.0), *_truth())["score"]) > float(
        loss(_outputs(logits=-3.0), *_truth())["score"]
    )


def _mask_logits(rows: slice, columns: slice) -> torch.Tensor:
    """Sure of polyp in these cells of stride 8 and of none elsewhere, at each level."""
    fine = torch.zeros(1, 1, INPUT_WH[1] // 8, INPUT_WH[0] // 8)
    fine[..., rows, columns] = 1
    levels = [torch.nn.functional.avg_pool2d(fine, stride // 8).flatten(1) for stride in GRID.strides]
    return torch.logit(torch.cat(levels, 1).clamp(0.001, 0.999))


def test_mask_loss_is_small_where_the_mask_is_right_at_each_level() -> None:
    loss, truth = DenseLoss(GRID), _truth((32, 0, 64, 32))
    right = _outputs()._replace(mask=_mask_logits(slice(0, 4), slice(4, 8)))
    shifted = _outputs()._replace(mask=_mask_logits(slice(2, 6), slice(4, 8)))
    assert float(loss(right, *truth)["mask"]) < 0.05
    assert float(loss(right, *truth)["mask"]) < 0.3 * float(loss(shifted, *truth)["mask"])
    first = 0
    for stride in GRID.strides:  # each level counts
        count = (INPUT_WH[0] // stride) * (INPUT_WH[1] // stride)
        wrong = right.mask.clone()
        wrong[:, first : first + count] *= -1
        assert float(loss(right._replace(mask=wrong), *truth)["mask"]) > 1.5 * float(loss(right, *truth)["mask"])
        first += count


def test_a_window_counts_as_far_as_score_and_mask_agree() -> None:
    outputs = _outputs(logits=2.0)
    mask = torch.full_like(outputs.mask, 30.0)
    mask[0, 1], mask[0, 2] = 0.0, -4.0
    outputs = outputs._replace(mask=mask)
    odds = DenseDetector(DenseSettings(channels=8, mask_evidence=1.0)).combined(outputs)[0].exp()
    wanted = (torch.e**2 * torch.sigmoid(mask[0])) ** 0.5  # the score's odds and the mask's share
    assert odds.tolist() == pytest.approx(wanted.tolist(), rel=1e-4)
    heavier = DenseDetector(DenseSettings(channels=8, mask_evidence=2.0)).combined(outputs)[0].exp()
    assert float(heavier[1]) == pytest.approx((torch.e**2 / 4) ** (1 / 3), rel=1e-4)
    without = DenseDetector(DenseSettings(channels=8, mask_evidence=0.0))
    assert torch.equal(without.combined(outputs), outputs.logits)
    with pytest.raises(InputError, match="mask_evidence must be at least 0. Received: -1"):
        DenseSettings(mask_evidence=-1)


def test_iou_by_hand() -> None:
    one = torch.tensor([[0.0, 0, 10, 10]])
    other = torch.tensor([[5.0, 0, 15, 10]])
    far = torch.tensor([[20.0, 0, 30, 10]])
    assert float(pairwise_iou(one[None], other[None])) == pytest.approx(1 / 3)
    assert float(generalised_iou(one, other)) == pytest.approx(1 / 3)
    assert float(generalised_iou(one, far)) == pytest.approx(0 - (300 - 200) / 300)

"""Assignment and losses of the dense detector.

Positions are given to polyps by how well they already predict them (task alignment, Feng et al. 2021, TOOD): inside the
polyp's mask, `score ** 1 * IoU ** 4`, the best few of each polyp. Scores learn the IoU of their own box (quality focal
loss, Li et al. 2020), boxes learn by generalised IoU (Rezatofighi et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.windows.grid import WindowGrid
from train.networks.dense import DenseOutputs


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weight of each part of the loss."""

    box: float = 2.0
    presence: float = 0.3
    mask: float = 0.5


class DenseLoss:
    """Loss of a batch.

    Args:
        grid: window grid of the input size.
        candidates: positions that each polyp gets at most.
        weights: of the parts.
        quality: exponent of the IoU of a polyp's best box in the score to be learnt; 1 for scores that tell how well a
            box fits, 0 for scores that only tell whether there is a polyp.
        device: on which the outputs are.
    """

    def __init__(
        self,
        grid: WindowGrid,
        *,
        candidates: int = 10,
        weights: LossWeights | None = None,
        quality: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.grid = grid
        self.centres = torch.from_numpy(grid.centres_xy).to(device)
        self.strides = torch.from_numpy(grid.stride_of).to(device)
        self.candidates = candidates
        self.weights = weights or LossWeights()
        self.quality = quality

    def __call__(
        self, outputs: DenseOutputs, boxes: Tensor, present: Tensor, masks: Tensor, outlined: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Loss `total` and its parts.

        Args:
            outputs: of the network, float32.
            boxes: (batch, most polyps, 4) `xyxy` in pixels of the input, padded with zeros.
            present: bool (batch, most polyps), False for padding.
            masks: float (batch, height / 8, width / 8), share of polyp in each cell.
            outlined: bool (batch), False where masks show roughly where polyps are: they say which positions are on a
                polyp, and nothing is learnt about masks. None: all are outlines.
        """
        predicted = self._decode(outputs.distances)
        targets, target_boxes = self._assign(outputs.logits.detach(), predicted.detach(), boxes, present, masks)
        positive = targets > 0
        total_quality = targets.sum().clamp(min=1.0)
        score = quality_focal_loss(outputs.logits, targets)
        box = outputs.logits.new_zeros(())
        if positive.any():
            overlap = generalised_iou(predicted[positive], target_boxes[positive])
            box = ((1 - overlap) * targets[positive]).sum()
        any_polyp = present.any(1).float()
        presence = F.binary_cross_entropy_with_logits(outputs.presence, any_polyp)
        drawn, shares = (outputs.mask, masks) if outlined is None else (outputs.mask[outlined], masks[outlined])
        mask = self._mask_loss(drawn, shares) if len(shares) else outputs.logits.new_zeros(())
        parts = {"score": score / total_quality, "box": box / total_quality, "presence": presence, "mask": mask}
        weights = self.weights
        total = parts["score"] + weights.box * parts["box"]
        total = total + weights.presence * presence + weights.mask * mask
        return {"total": total, **parts}

    def _decode(self, distances: Tensor) -> Tensor:
        sides = distances * self.strides[:, None]
        return torch.cat([self.centres - sides[..., :2], self.centres + sides[..., 2:]], -1)

    @torch.no_grad()
    def _assign(
        self, logits: Tensor, predicted: Tensor, boxes: Tensor, present: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        batch, positions = logits.shape
        most = boxes.shape[1]
        if most == 0:
            return torch.zeros_like(logits), predicted
        x, y = self.centres[:, 0], self.centres[:, 1]
        inside = (
            (x > boxes[..., 0:1]) & (x < boxes[..., 2:3]) & (y > boxes[..., 1:2]) & (y < boxes[..., 3:4])
        )  # (batch, most, positions)
        columns = (x / 8).long().clamp(max=masks.shape[2] - 1)
        rows = (y / 8).long().clamp(max=masks.shape[1] - 1)
        in_mask = masks[:, rows, columns] > 0.3
        on_polyp = inside & in_mask[:, None]
        # A polyp too small or too thin for any centre on its mask is judged by its box, or by its nearest centre.
        allowed = torch.where(on_polyp.any(-1, keepdim=True), on_polyp, inside)
        middle = (boxes[..., :2] + boxes[..., 2:]) / 2
        nearest = ((self.centres[None, None] - middle[:, :, None]).square().sum(-1)).argmin(-1)
        lonely = ~allowed.any(-1)
        allowed |= F.one_hot(nearest, positions).bool() & lonely[..., None]
        allowed &= present[..., None]
        overlap = pairwise_iou(boxes, predicted) * allowed
        alignment = torch.sigmoid(logits)[:, None] * overlap.pow(4) + 1e-9
        alignment = alignment * allowed
        best, index = alignment.topk(min(self.candidates, positions), dim=-1)
        chosen = torch.zeros_like(allowed).scatter(-1, index, best > 0)
        # A position between two polyps serves the one it overlaps more.
        rank = torch.where(chosen, overlap + 1e-6, torch.zeros_like(overlap))
        owner = rank.argmax(1)
        mine = F.one_hot(owner, most).transpose(1, 2).bool() & chosen
        strongest = (alignment * mine).amax(-1, keepdim=True).clamp(min=1e-12)
        closest = (overlap * mine).amax(-1, keepdim=True).clamp(min=0.05)
        targets = (alignment * mine / strongest * closest.pow(self.quality)).amax(1)
        target_boxes = boxes.gather(1, owner[..., None].expand(batch, positions, 4))
        return targets, target_boxes

    def _mask_loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Binary cross entropy and Dice of the share of polyp in the cells, mean over the levels."""
        losses: list[Tensor] = []
        first = 0
        for stride in self.grid.strides:
            shares = F.avg_pool2d(masks[:, None], stride // 8).flatten(1)
            level = logits[:, first : first + shares.shape[1]]
            first += shares.shape[1]
            cross = F.binary_cross_entropy_with_logits(level, shares)
            found = torch.sigmoid(level)
            dice = 1 - (2 * (found * shares).sum(1) + 1) / (found.sum(1) + shares.sum(1) + 1)
            losses.append(cross + dice.mean())
        return torch.stack(losses).mean()


def quality_focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum over positions of cross entropy with targets from 0 to 1, times the square of how far the score is off."""
    focus = (torch.sigmoid(logits) - targets).abs().square()
    return (F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * focus).sum()


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of (batch, n, 4) with (batch, m, 4) boxes `xyxy`: (batch, n, m)."""
    low = torch.maximum(first[:, :, None, :2], second[:, None, :, :2])
    high = torch.minimum(first[:, :, None, 2:], second[:, None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1) for boxes in (first, second)]
    return common / (areas[0][:, :, None] + areas[1][:, None] - common).clamp(min=1e-6)


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU of boxes (n, 4) with boxes (n, 4), pair by pair: (n,), -1 to 1."""
    common = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0)
    hull = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    shared, around = common.prod(1), hull.clamp(min=0).prod(1).clamp(min=1e-6)
    union = (first[:, 2:] - first[:, :2]).prod(1) + (second[:, 2:] - second[:, :2]).prod(1) - shared
    return shared / union.clamp(min=1e-6) - (around - union) / around

"""Classification by the nearest class mean: what the features of an initialization are worth unadapted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from metalib.evaluation.classification import Accuracies, Predictions, score
from metalib.params import Params, repeat
from metalib.tasks.episodes import Episodes
from metalib.tasks.fewshot import FewShot

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor


def nearest_mean_accuracies(family: FewShot, phi: Params, episodes: Sequence[Episodes]) -> list[Accuracies]:
    """Classify held-out images by the nearest class mean, without adapting anything.

    Every image is represented by what the dense layer sees of it, scaled to length 1. Of a class, the mean
    over its K training images is kept. Training and held-out images share a forward pass, so that the same
    batch statistics normalize both; in the inductive setting one held-out image at a time.

    Args:
        family: says which pool the images come from and which network the weights belong to.
        phi: weights of R runs; those of the dense layer are not used.
        episodes: the tasks of each run, as many for one run as for another.
    """

    def predict(some: Episodes) -> Predictions:
        weights = repeat(phi, len(some.query) // len(next(iter(phi.values()))))
        support, query = (
            torch.as_tensor(x, device=next(iter(phi.values())).device) for x in (some.support, some.query)
        )
        one_by_one = [_nearest(family, weights, support, query[:, i : i + 1]) for i in range(query.shape[1])]
        return _nearest(family, weights, support, query), torch.cat(one_by_one, 1)

    return score(family, phi, episodes, predict)


def _nearest(
    family: FewShot, weights: Params, support: Int[Tensor, "tasks NK"], query: Int[Tensor, "tasks Q"]
) -> Int[Tensor, "tasks Q"]:
    with torch.no_grad():
        embedded = family.net.embed(weights, family.pool.gather(torch.cat([support, query], 1)))
        embedded = F.normalize(embedded, dim=-1)
        seen, asked = embedded.split([support.shape[1], query.shape[1]], 1)
        means = seen.unflatten(1, (family.ways, -1)).mean(2)
        return torch.cdist(asked, means).argmin(-1)

"""CLP: channels that can change their output more than the others of their layer are cut; no data.

For channel k of a convolution with the batch norm that reads it (gamma, running variance v):

    sigma_k = largest singular value of W_k as [C_in, h * w]  *  |gamma_k| / sqrt(v_k + eps)

gamma_k and beta_k become 0 where sigma_k > mean + u std over the layer's channels. u = 3 in the
paper; a smaller u cuts more.

Source: Zheng et al., "Data-free Backdoor Removal based on Channel Lipschitzness", ECCV 2022, arXiv
2208.03111; code rkteddy/channel-Lipschitzness-based-pruning. Departures: pairs are those of the
computation (theirs: the convolution before in the order of modules); eps, without which a dead
channel divides by 0. For a transformer, untested by others: unit j of an MLP with weights V, U
behind a norm with scale gamma has sigma_j = |gamma * V_j| |U_:j|, and V_j and its bias become 0.
Batch norm frozen by an attack (BadEncoder) leaves only the convolutions to show it.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.prunable_units import (
    HiddenUnits,
    NormedConvolution,
    hidden_units,
    normed_convolutions,
    nothing_to_prune,
)
from mimic_ray.defences.training_loop import defended, suspect_as_teacher


@strengths("u", 5.0, 4.0, 3.0, 2.0, 1.5)
@torch.no_grad()
def clp(
    inputs: DefenceInputs,
    *,
    u: Annotated[float, setting("Bound in standard deviations over the mean.", gt=0)] = 3.0,
) -> Defended:
    """CLP: channels with a large Lipschitz constant are cut, without data.

    Raises UsageError for an encoder with nothing to prune.
    """
    pruned = suspect_as_teacher(inputs).float()
    convolutions, mlps = normed_convolutions(pruned), hidden_units(pruned)
    if not convolutions and not mlps:
        raise nothing_to_prune(pruned, "clp")
    cut = total = 0
    for pair in convolutions:
        chosen = outliers(channel_constants(pair), u)
        pair.norm.weight[chosen] = 0
        pair.norm.bias[chosen] = 0
        cut, total = cut + int(chosen.sum()), total + len(chosen)
    for mlp in mlps:
        chosen = outliers(unit_constants(mlp), u)
        mlp.first.weight[chosen] = 0
        if mlp.first.bias is not None:
            mlp.first.bias[chosen] = 0
        cut, total = cut + int(chosen.sum()), total + len(chosen)
    return defended(pruned, 0, f"{cut} of {total} units were cut.")


def channel_constants(pair: NormedConvolution) -> Tensor:
    """sigma [C] of the channels."""
    norm, weight = pair.norm, pair.convolution.weight.float()
    assert norm.running_var is not None
    singular = torch.linalg.matrix_norm(weight.flatten(2), ord=2)
    return singular * (norm.weight / (norm.running_var + norm.eps).sqrt()).abs()


def unit_constants(mlp: HiddenUnits) -> Tensor:
    """sigma [H] of the hidden units."""
    inward = mlp.first.weight if mlp.norm is None else mlp.first.weight * mlp.norm.weight
    return inward.norm(dim=1) * mlp.second.weight.norm(dim=0)


def outliers(constants: Tensor, u: float) -> Tensor:
    """bool [C]: those over mean + u std."""
    return constants > constants.mean() + u * constants.std()

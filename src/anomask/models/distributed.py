"""Sums, means and draws over all processes of a run; without a process group each is the plain local operation."""

import torch
import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    """Return whether more than one process takes part in this run."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def all_sum(tensor: Tensor) -> Tensor:
    """Return the sum of `tensor` over all processes; every process gets the same bytes."""
    if is_distributed():
        tensor = tensor.contiguous().clone()
        dist.all_reduce(tensor)
    return tensor


def all_mean(tensor: Tensor) -> Tensor:
    """Return the mean of `tensor` over all processes; every process gets the same bytes."""
    return all_sum(tensor) / (dist.get_world_size() if is_distributed() else 1)


def all_means(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return named scalars averaged over all processes, without gradient: one collective for all of them."""
    means = all_mean(torch.stack([value.detach().float() for value in values.values()]))
    return dict(zip(values, means.unbind(), strict=True))


def all_rows(rows: Tensor) -> Tensor:
    """Return the rows [n, ...] of all processes in rank order, on the CPU; n may differ between processes."""
    rows = rows.cpu()
    if not is_distributed():
        return rows
    parts: list[Tensor] = [rows] * dist.get_world_size()
    dist.all_gather_object(parts, rows)
    return torch.cat(parts)


class SumWithGradient(torch.autograd.Function):
    """`all_sum` that gradients flow through: a process's share of the sum is felt by the losses of all."""

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        """Return the sum over all processes."""
        return all_sum(tensor)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        """Return the sum of all processes' gradients."""
        return all_sum(gradient)


def draw_global_rows(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` rows from the rows of all processes, without replacement as far as there are enough.

    Every process must hold a generator in the same state; every process then gets the same rows, and the same as
    one process that holds the rows of all in rank order.

    Args:
        rows: [n, C], this process's share; n may differ between processes.
        count: number of rows wanted, >= 0.
        generator: source of the draw, on the CPU.

    Returns:
        [count, C]
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if is_distributed() else (0, 1)
    sizes = torch.zeros(world, dtype=torch.int64, device=rows.device)
    sizes[rank] = len(rows)
    sizes = all_sum(sizes).tolist()
    total, start = sum(sizes), sum(sizes[:rank])
    picked = torch.randperm(total, generator=generator)
    picked = picked.repeat(-(-count // total))[:count].to(rows.device)
    mine = (picked >= start) & (picked < start + len(rows))
    drawn = rows.new_zeros(count, rows.shape[1])
    drawn[mine] = rows[picked[mine] - start]
    return all_sum(drawn)

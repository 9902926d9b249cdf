"""Two gloo processes give the codebook, the batch norm and the rows of one process on the joint batch."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from anomask.models.batch_norm import JointBatchNorm2d, replace_batch_norm
from anomask.models.distributed import all_mean, all_rows
from anomask.models.quantiser import Quantiser

SHARES = (slice(0, 2), slice(2, 5))  # 5 images: shares of 2 and 3


def make(shared):
    return Quantiser(5, 24, 0.6, restart_threshold=0.3, restart_warmup=1, depth=2, shared=shared, epsilon=1e-5)


def batches():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(5, 8, 5, generator=generator) for _ in range(6)]


def run(quantiser, parts):
    restarted = 0.0
    quantiser.initialise(parts[0], torch.Generator().manual_seed(7))
    for step, part in enumerate(parts):
        restarted += float(quantiser.update(quantiser(part), torch.Generator().manual_seed(step)))
    assert restarted > 0
    return quantiser.state_dict()


def network():
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(4), nn.BatchNorm2d(3)]
    return nn.Sequential(nn.Conv2d(1, 4, 3), norms[0], nn.ReLU(), nn.Conv2d(4, 3, 3), norms[1])


def normalised(model, images):
    """Three passes; the sum of the last one's losses, the gradients, and the running statistics."""
    for _ in range(3):
        model.zero_grad()
        loss = model(images).square().mul(torch.arange(1.0, 4.0)[:, None, None]).sigmoid().sum()
    loss.backward()
    gradients = {f"gradient of {name}": value.grad for name, value in model.named_parameters()}
    return {"loss": loss.detach()} | gradients | {name: value.clone() for name, value in model.named_buffers()}


def worker(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    result = {shared: run(make(shared), [batch[SHARES[rank]] for batch in batches()]) for shared in (False, True)}
    joint = replace_batch_norm(network(), nn.BatchNorm2d, JointBatchNorm2d)
    result["norm"] = normalised(joint, IMAGES[SHARES[rank]])
    result["rows"], result["mean"] = all_rows(batches()[0][SHARES[rank]]), all_mean(torch.tensor(float(rank)))
    torch.save(result, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


IMAGES = torch.randn(5, 1, 9, 9, generator=torch.Generator().manual_seed(1)) + 2.0


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (port, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("shared", [False, True])
def test_two_processes_give_the_codebook_of_one(both, shared):
    alone = run(make(shared), batches())
    for name, value in both[0][shared].items():
        assert torch.equal(value, both[1][shared][name]), name
        torch.testing.assert_close(value, alone[name], rtol=1e-5, atol=1e-6)


def test_two_processes_normalise_like_one(both):
    alone = normalised(network(), IMAGES)
    for name, value in alone.items():
        first, second = (part["norm"][name] for part in both)
        if name == "loss" or "gradient" in name:  # each process has its share of the sum
            first = first + second
        else:
            assert torch.equal(first, second)
        torch.testing.assert_close(first, value, rtol=1e-4, atol=1e-5)


def test_a_joint_batch_norm_alone_is_a_batch_norm_and_goes_back():
    joint = replace_batch_norm(network(), nn.BatchNorm2d, JointBatchNorm2d)
    assert [type(joint[place]) for place in (1, 4)] == [JointBatchNorm2d] * 2
    alone, found = normalised(network(), IMAGES), normalised(joint, IMAGES)
    assert alone.keys() == found.keys() and all(torch.equal(found[name], alone[name]) for name in alone)
    back = replace_batch_norm(joint.eval(), JointBatchNorm2d, nn.BatchNorm2d)
    assert [type(back[place]) for place in (1, 4)] == [nn.BatchNorm2d] * 2 and not back[1].training
    assert back.state_dict().keys() == network().state_dict().keys()


def test_rows_come_in_rank_order_and_means_are_of_all(both):
    assert torch.equal(both[0]["rows"], batches()[0]) and torch.equal(both[1]["rows"], batches()[0])
    assert both[0]["mean"] == both[1]["mean"] == 0.5

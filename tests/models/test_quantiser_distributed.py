"""Two gloo processes give the codebook of one process on the joint batch."""

import os
import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from anomask.models.quantiser import Quantiser


def make():
    return Quantiser(5, 24, 0.9, restart_threshold=0.3, restart_warmup=1, depth=2, shared=False, epsilon=1e-5)


def batches():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(5, 8, 5, generator=generator) for _ in range(6)]  # 5 images: shares of 2 and 3


def run(quantiser, parts):
    quantiser.initialise(parts[0], torch.Generator().manual_seed(7))
    for step, part in enumerate(parts):
        quantiser.update(quantiser(part), torch.Generator().manual_seed(step))
    return quantiser


def worker(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    share = slice(0, 2) if rank == 0 else slice(2, 5)
    torch.save(run(make(), [batch[share] for batch in batches()]).state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_codebook_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    alone = run(make(), batches()).state_dict()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        torch.testing.assert_close(value, alone[name], rtol=1e-5, atol=1e-6)

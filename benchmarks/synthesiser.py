"""Time of the synthesiser: salience + location + replacement, batched, against a loop over tokens.

    python benchmarks/synthesiser.py [--batch 16] [--tokens 256] [--width 512] [--codes 2048]

Prints milliseconds (best and median of --repeats), the multiply-adds of the parts and the machine's own speed on a
matrix product in the same run, so that a ratio survives a noisy machine.
"""

import argparse
import time
from functools import partial

import torch

from anomask.batches import FrozenFeatures
from anomask.synthesis.draws import SliceDraws
from anomask.synthesis.location import salience
from anomask.synthesis.replacement import candidates, pooled
from anomask.synthesis.salience import channel_variance, entropy_change, per_image_minmax, token_salience
from anomask.synthesis.synthesiser import Synthesiser


def timed(call, repeats):
    call()
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        spent.append(1e3 * (time.perf_counter() - start))
    spent.sort()
    return spent[0], spent[len(spent) // 2]


def looped_salience(tokens, dimensions):
    """The leave-one-out written down as it reads: one eigen-solve a token."""
    result = torch.zeros(tokens.shape[:2])
    for b, image in enumerate(tokens):
        centred = image - image.mean(0)
        y = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:dimensions].T

        def entropy(rows):
            values = torch.linalg.eigvalsh((rows - rows.mean(0)).T @ (rows - rows.mean(0))).clamp(min=0)
            return torch.special.entr(values / values.sum()).sum()

        whole = entropy(y)
        result[b] = torch.stack([(entropy(torch.cat([y[:n], y[n + 1 :]])) - whole).abs() for n in range(len(y))])
    return per_image_minmax(result) * 0.5 + per_image_minmax(channel_variance(tokens))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("batch", 16), ("tokens", 256), ("width", 512), ("codes", 2048), ("repeats", 30)):
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    spectrum = 0.97 ** torch.arange(a.width)  # encoders' tokens have a falling spectrum
    tokens = (torch.randn(a.batch, a.tokens, a.width, generator=generator) * spectrum) @ torch.linalg.qr(
        torch.randn(a.width, a.width, generator=generator)
    ).Q
    codebook = tokens.reshape(-1, a.width)[torch.randint(a.batch * a.tokens, (a.codes,), generator=generator)]
    codes = torch.cdist(tokens, codebook.expand(a.batch, -1, -1)).argmin(2)
    allowed = torch.ones(a.batch, a.tokens, dtype=torch.bool)
    measure = partial(token_salience, dimensions=8, entropy_weight=0.5, variance_weight=1.0)
    features = FrozenFeatures(tokens, codebook[codes], codes, measure(tokens), torch.zeros(codes.shape))
    draw = partial(pooled, neighbours=20, rank_min=0.0, rank_max=1.0)
    synthesiser = Synthesiser(salience, draw, 0.1)

    def step():
        return synthesiser(features._replace(salience=measure(tokens)), codebook, allowed, SliceDraws(range(a.batch)))

    mask = step().mask
    corrupted = int(mask.sum())
    parts = {
        "channel variance": lambda: channel_variance(tokens),
        "entropy change": lambda: entropy_change(tokens, 8),
        "candidates (distances and top k)": lambda: candidates(tokens[mask], codes[mask], codebook, 20, 0.0, 1.0),
        "synthesiser on cached salience": lambda: synthesiser(features, codebook, allowed, SliceDraws(range(a.batch))),
        "whole step": step,
    }
    for name, call in parts.items():
        best, median = timed(call, a.repeats)
        print(f"{name:36s} best {best:8.2f} ms   median {median:8.2f} ms")
    square = torch.randn(1024, 1024)
    speed = 2 * 1024**3 / timed(lambda: square @ square, 10)[0] / 1e6
    iterations, kept = 3, 16
    adds = a.batch * a.tokens * a.width * kept * (2 * iterations + 1) + corrupted * a.codes * a.width
    print(
        f"floor: {adds / 1e9:.2f} G multiply-adds = {2 * adds / speed / 1e6:.1f} ms at this run's {speed:.0f} GFLOP/s"
    )
    one = timed(lambda: looped_salience(tokens[:1], 8), 1)[0]
    print(f"a loop over tokens, one image: {one:.0f} ms, {one * a.batch:.0f} ms for the batch")


if __name__ == "__main__":
    main()

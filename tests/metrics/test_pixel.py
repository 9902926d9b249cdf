"""Pixel metrics against exact float64 references on hard cases."""

import os
import socket
from functools import partial

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from anomask.errors import DataError
from anomask.metrics.histogram import N_BINS, bin_score, score_below_share, score_bins
from anomask.metrics.lesions import LesionMetrics
from anomask.metrics.pixel import PixelMetrics


def slow_aupro(maps, masks, limit=0.3):
    """Per-region overlap, threshold by threshold."""
    negatives = np.sort(maps[~masks])
    regions = []
    for image, mask in zip(maps, masks, strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [np.sort(image[labels == index]) for index in range(1, count + 1)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        false = 1 - np.searchsorted(negatives, threshold) / len(negatives)
        overlap = np.mean([1 - np.searchsorted(region, threshold) / len(region) for region in regions])
        points.append((false, overlap))
    false, overlap = np.array(points).T
    end = np.interp(limit, false, overlap)
    inside = false < limit
    return np.trapezoid(np.append(overlap[inside], end), np.append(false[inside], limit)) / limit


def masks_of(rng, slices=6, size=48, share=0.05):
    smooth = ndimage.gaussian_filter(rng.standard_normal((slices, size, size)), (0, 3, 3))
    return smooth > np.quantile(smooth, 1 - share)


def cases():
    rng = np.random.default_rng(0)
    mask = masks_of(rng)
    rare = np.zeros_like(mask)
    rare[0, 10:12, 10:13] = True
    noise = rng.random(mask.shape)
    return {
        "smooth": (mask * 0.3 + noise, mask),
        "rare": (rare * 0.5 + noise, rare),
        "piled at zero": (np.where(noise < 0.9, 0.0, noise) * (1 + mask), mask),
        "ties": (np.round(noise + 0.4 * mask, 1), mask),
        "tiny values": ((noise + mask) * 1e-7, mask),
        "saturated": (1 - (1 - noise * 0.5 - 0.4 * mask) * 1e-2, mask),
        "constant": (np.full(mask.shape, 0.25), mask),
        "large values": ((noise + mask) * 1e6, mask),
        "normal slices too": (np.concatenate([mask * 0.3 + noise, noise]), np.concatenate([mask, ~mask & mask])),
    }


def tensors(maps, masks):
    return torch.from_numpy(maps).float()[:, None], torch.from_numpy(masks)[:, None]


@pytest.mark.parametrize("name", cases())
def test_agrees_with_exact_references(name):
    maps, masks = cases()[name]
    maps = maps.astype(np.float32).astype(np.float64)  # the maps are float32; the references are exact on them
    metric = PixelMetrics()
    metric.update(*tensors(maps, masks))
    found = metric.compute()
    assert found["auroc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-4)
    assert found["ap"] == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()), abs=1e-4)
    assert found["aupro"] == pytest.approx(slow_aupro(maps, masks), abs=1e-4)
    best = max(2 * (masks & (maps >= t)).sum() / (masks.sum() + (maps >= t).sum()) for t in np.unique(maps)[::7])
    assert found["oracle_dice"] >= best - 1e-3


def test_figures_at_a_threshold_are_exact():
    maps, masks = cases()["smooth"]
    metric = PixelMetrics(threshold=0.7)
    metric.update(*tensors(maps, masks))
    called = maps.astype(np.float32) > 0.7
    found = metric.compute()
    assert found["dice"] == pytest.approx(2 * (called & masks).sum() / (called.sum() + masks.sum()))
    assert found["iou"] == pytest.approx((called & masks).sum() / (called | masks).sum())
    assert found["sensitivity"] == pytest.approx(called[masks].mean())
    assert found["specificity"] == pytest.approx(1 - called[~masks].mean())


def test_any_split_into_updates_gives_the_same():
    maps, masks = tensors(*cases()["smooth"])
    whole, parts = PixelMetrics(), PixelMetrics()
    whole.update(maps, masks)
    for row in torch.randperm(len(maps)).tolist():
        parts.update(maps[row : row + 1], masks[row : row + 1])
    assert parts.compute() == pytest.approx(whole.compute())
    assert parts.counts() == whole.counts()


def test_only_pixels_within_count():
    maps, masks = tensors(*cases()["smooth"])
    within = torch.rand(maps.shape) < 0.5
    metric = PixelMetrics()
    metric.update(maps, masks, within)
    exact = roc_auc_score(masks[within].numpy(), maps[within].numpy())
    assert metric.compute()["auroc"] == pytest.approx(exact, abs=1e-4)
    assert metric.counts()["n_lesion_pixels"] == int((masks & within).sum())


def test_undefined_figures_are_none_and_never_zero():
    maps = torch.rand(2, 1, 8, 8)
    metric = PixelMetrics(0.5)
    assert set(metric.compute().values()) == {None}
    metric.update(maps, torch.zeros_like(maps, dtype=torch.bool))
    found = metric.compute()
    assert all(found[name] is None for name in ("auroc", "ap", "aupro", "oracle_dice", "dice", "sensitivity"))
    assert found["specificity"] is not None
    metric.reset()
    metric.update(maps, torch.ones_like(maps, dtype=torch.bool))
    assert metric.compute()["auroc"] is None and metric.compute()["aupro"] is None


def test_bad_maps_are_errors():
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    for value in (float("nan"), float("inf"), -0.1):
        with pytest.raises(DataError, match="NaN, infinite or negative"):
            PixelMetrics().update(torch.full((1, 1, 4, 4), value), mask)
    with pytest.raises(DataError, match="differ in shape"):
        PixelMetrics().update(torch.zeros(1, 1, 4, 5), mask)
    with pytest.raises(DataError, match="lung mask .* differ in shape"):
        PixelMetrics().update(torch.zeros(1, 1, 4, 4), mask, torch.ones(1, 1, 4, 5, dtype=torch.bool))


def test_bins_keep_the_order_of_scores():
    wide = torch.rand(1000) * 10.0 ** torch.randint(-11, 11, (1000,))
    scores = (
        torch.cat([torch.zeros(2), wide, 1 - wide[wide < 0.5], torch.tensor([0.5, 1.0, 1 - 2.0**-24])]).sort().values
    )
    bins = score_bins(scores)
    assert (bins.diff() >= 0).all() and bins.max() < N_BINS and bins[0] == 0
    assert score_bins(torch.tensor([-0.0, 1e-20])).tolist() == [0, 0]
    apart = score_bins(torch.tensor([0.4999, 0.5, 0.5002, 0.9, 0.99999, 0.999999, 1.0, 1.001]))
    assert (apart.diff() > 0).all()
    found = torch.tensor([bin_score(int(b)) for b in bins])
    near_one = (scores > 0.5) & (scores < 1)
    size = torch.where(near_one, 1 - scores, scores)
    assert ((found - scores).abs() <= size * 2**-11 + 1e-12).all()


KINDS = (partial(PixelMetrics, 0.5), LesionMetrics)


def figures(kind, maps, masks):
    metric = kind()
    metric.update(maps, masks)
    return metric.compute()


def worker(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    maps, masks = tensors(*cases()["smooth"])
    rows = slice(0, 2) if rank == 0 else slice(2, None)
    torch.save([figures(kind, maps[rows], masks[rows]) for kind in KINDS], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (port, str(tmp_path)), nprocs=2)
    for rank in (0, 1):
        for found, kind in zip(torch.load(tmp_path / f"{rank}.pt"), KINDS, strict=True):
            assert found == pytest.approx(figures(kind, *tensors(*cases()["smooth"])))


def test_the_pixel_quantile_leaves_at_most_its_share_above():
    scores = torch.rand(10_000, generator=torch.Generator().manual_seed(0)).square() * 0.4
    counts = torch.bincount(score_bins(scores), minlength=N_BINS)
    for share in (0.5, 0.99):
        threshold = score_below_share(counts, share)
        above = float((scores > threshold).double().mean())
        assert 1 - share - 2e-3 < above <= 1 - share
    piled = torch.bincount(score_bins(torch.zeros(100)), minlength=N_BINS)
    assert 0 <= score_below_share(piled, 0.99) < 1e-11
    with pytest.raises(DataError, match="no pixel was counted"):
        score_below_share(torch.zeros(N_BINS, dtype=torch.int64), 0.99)

"""Where the paper corrupts, with what, and what real lesions do: tokens of transplants against their untouched hosts.

    python benchmarks/places.py --codebook lungwin256_codebook_seed0 --folder data/transplants_development

Every transplant has its host, so what a lesion changes in a token is known exactly. Prints a Markdown table.
"""

import argparse
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from anomask.batches import FrozenFeatures, SliceBatch
from anomask.build import build_data, open_stage
from anomask.models.tokens import patch_mean
from anomask.runs import find_run
from anomask.settings.compose import CONF_FOLDER, plain, register
from anomask.stages.features import FrozenFeatureSource
from anomask.synthesis.draws import SliceDraws

LESION = 0.2  # share of a token's patch that a lesion covers


def paper_synthesiser():
    """Build the paper's salience, location and draw from conf/synthesiser/paper.yaml."""
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        settings = plain(compose("train", ["synthesiser=paper"]))["synthesiser"]
    parts = {name: instantiate(settings[name], _convert_="all") for name in ("location", "draw")}
    return instantiate(settings["salience"]), instantiate(settings["feature_space"], **parts)


def pairs(settings: dict, folder: Path) -> tuple[SliceBatch, SliceBatch]:
    """Load the transplants and, row by row, their untouched hosts."""
    data = build_data(settings, str(folder), progress=False)
    data.setup("test")
    records = data.test_set.records
    hosts = {record.path.name: row for row, record in enumerate(records) if record.label == "normal"}
    rows = [row for row, record in enumerate(records) if record.label != "normal"]
    batches = list(data.test_dataloader())
    everything = SliceBatch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))

    def choose(wanted: list[int]) -> SliceBatch:
        return SliceBatch(*(values[wanted] for values in everything))

    return choose(rows), choose([hosts[records[row].path.name] for row in rows])


def measure(source: FrozenFeatureSource, synthesiser, lesioned: SliceBatch, hosts: SliceBatch) -> dict[str, float]:
    """Return the figures of the table."""
    vqvae = source.vqvae
    found: FrozenFeatures = source(lesioned)
    before: FrozenFeatures = source(hosts)
    lung = patch_mean(hosts.lung_mask, vqvae.stride) >= 0.5
    lesion = patch_mean(lesioned.mask, vqvae.stride) >= LESION
    healthy = lung & ~lesion
    everywhere = torch.ones_like(lung)
    corrupted = synthesiser(found, vqvae.quantiser.codebook, everywhere, SliceDraws(range(len(lung))))
    clean = synthesiser(before, vqvae.quantiser.codebook, everywhere, SliceDraws(range(len(lung))))

    def distance(first: Tensor, second: Tensor, where: Tensor) -> float:
        return float((first - second)[where].square().sum(-1).sqrt().median())

    def auroc(values: Tensor) -> float:
        return float(binary_auroc(torch.cat([values[lesion], values[healthy]]), truth))

    truth = torch.cat([torch.ones(int(lesion.sum())), torch.zeros(int(healthy.sum()))]).int()
    return {
        "tokens that lie in the lung": float(lung.float().mean()),
        "corrupted (salient) tokens that lie in the lung": float(lung[clean.mask].float().mean()),
        "corrupted tokens that lie on the lesion of a transplant": float(lesion[corrupted.mask].float().mean()),
        "lesion tokens among all": float(lesion.float().mean()),
        "AUROC of salience, lesion against healthy lung": auroc(found.salience),
        "AUROC of the codebook's residual, lesion against healthy lung": auroc(found.residual),
        "lesion tokens whose code the lesion changes": float((found.codes != before.codes)[lesion].float().mean()),
        "distance of a replaced code from the token's own, median": distance(
            clean.tokens, before.quantised, clean.mask
        ),
        "distance a lesion moves a token before quantisation, median": distance(found.tokens, before.tokens, lesion),
        "distance a lesion moves a code, median": distance(found.quantised, before.quantised, lesion),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codebook", default="lungwin256_codebook_seed0", help="a codebook run")
    parser.add_argument("--folder", type=Path, default=Path("data/transplants_development"), help="transplants")
    given = parser.parse_args()
    stage = open_stage(find_run(given.codebook, "runs", "codebook"), "best")
    salience, synthesiser = paper_synthesiser()
    with torch.no_grad():
        lesioned, hosts = pairs(stage.settings, given.folder)
        figures = measure(FrozenFeatureSource(stage.vqvae, salience), synthesiser, lesioned, hosts)
    print(f"| {len(lesioned.image)} transplants of {given.folder.name} | value |\n|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value:.3f} |")


if __name__ == "__main__":
    main()

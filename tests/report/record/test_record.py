"""Slice-level rows of the record, worked by hand."""

import numpy as np

from anomask.report.record.figures import Evaluation, ScoredSlice, build_record, host_wins, image_rows
from anomask.report.record.localisation import PixelTally


def test_the_floor_within_patients_pairs_slices_of_one_patient():
    # Brightness separates the patients and, within each, nothing; sharpness falls with disease inside both patients.
    slices = [
        ScoredSlice("a0", "a", "", 0.1, (0.1, 0.5, 0.9)),
        ScoredSlice("a1", "a", "", 0.2, (0.1, 0.5, 0.8)),
        ScoredSlice("a2", "a", "cancer", 0.3, (0.1, 0.5, 0.7)),
        ScoredSlice("b0", "b", "", 0.6, (0.9, 0.5, 0.4)),
        ScoredSlice("b1", "b", "cancer", 0.5, (0.9, 0.5, 0.3)),
        ScoredSlice("b2", "b", "cancer", 0.9, (0.9, 0.5, 0.2)),
    ]
    normals = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    tally = PixelTally(None, "patient")
    row = image_rows(Evaluation(slices, normals, tally, {"threshold": 0.4}), 20, 0)[0]
    assert row["within_patient_auroc"] == 3 / 4
    floors = row["within_patient_floors"]
    assert (floors["mean"], floors["std"], floors["laplacian_std"]) == (0.5, 0.5, 0.0)
    assert row["within_patient_floor"] == 1.0 and row["floors"]["mean"] == 2 / 3


def donated(donors):
    """Slices of one patient, each untouched and with the lesion of a donor."""
    slices = []
    for number, donor in enumerate(donors):
        slices.append(ScoredSlice(f"n{number}", "host", "", 0.1 * number, (0.1, 0.2, 0.3), donor))
        slices.append(ScoredSlice(f"a{number}", "host", "faint", 0.1 * number + 0.15, (0.1, 0.2, 0.3), donor))
    return Evaluation(slices, np.zeros((2, 3)), PixelTally(None, "patient"), {"threshold": 0.4})


def test_transplants_are_paired_with_their_hosts():
    def slice_(name, disease, score, donor="d"):
        return ScoredSlice(name, "p", disease, score, (0.1, 0.2, 0.3), donor)

    slices = [slice_("test/normal/a.png", "", 0.3), slice_("test/normal/b.png", "", 0.5)]
    slices += [slice_("test/abnormal/faint/a.png", "faint", 0.4), slice_("test/abnormal/faint/b.png", "faint", 0.4)]
    slices += [slice_("test/abnormal/marked/b.png", "marked", 0.5), slice_("test/abnormal/marked/c.png", "marked", 0.9)]
    assert host_wins(slices) == (1.5 / 3, 3)  # c has no host
    assert host_wins([s._replace(lesion_donor="") for s in slices]) == (None, 0)


def test_intervals_of_transplants_resample_the_lesions_donors():
    found = donated([f"donor{number}" for number in range(10)])
    interval = image_rows(found, 200, 0)[0]["intervals"]["auroc"]
    assert (interval["n_clusters"], interval["unit"]) == (10, "lesion donor")
    assert interval["low"] < image_rows(found, 0, 0)[0]["auroc"] < interval["high"]
    assert build_record(found, {}, 20, 0)["bootstrap"]["unit"] == "lesion donor"
    unknown = donated([*(f"donor{number}" for number in range(9)), ""])
    unknown = unknown._replace(slices=[s._replace(patient="") for s in unknown.slices])
    assert build_record(unknown, {}, 20, 0)["bootstrap"]["unit"] == "slice"
    hosts_alone = image_rows(donated([""] * 10), 200, 0)[0]
    assert hosts_alone["intervals"]["auroc"]["low"] is None and hosts_alone["n_patients"] == 1

"""Slice-level rows of the record, worked by hand."""

import numpy as np

from anomask.report.localisation import PixelTally
from anomask.report.record import Evaluation, ScoredSlice, image_rows


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

"""A mistake on the command line is one line that names the nearest right thing, before anything is made."""

import sys

import pytest
from hydra.core.global_hydra import GlobalHydra

from anomask.commands import cli

MISTAKES = {
    "train data.sise=3": "data.sise: anomask train has no such setting: did you mean data.size?",
    "train sise=3": "did you mean data.size?",
    "train max_steps=3": "did you mean trainer.max_steps?",
    "train experimnt=detector": "did you mean experiment?",
    "train +experimnt=detector": "did you mean experiment?",
    "train ~callbacks.progres": "did you mean callbacks.progress?",
    "train experiment=detectr": "experiment=detectr: no such file in conf/experiment: did you mean detector?",
    "train data=lungwin": "data=lungwin: no such file in conf/data: did you mean lungwin256?",
    "train ablation=nosuch": "ablation=nosuch: no such file in conf/ablation",
    "train +experiment=detector": "write experiment=detector, without +",
    "train +seed=3": "write seed=3, without +",
    "train detector": "did you mean experiment=detector or stage=detector?",
    "train experiment=null": "~experiment",
    "train model=null": "~model",
    "train data=folder": "data.folder is missing: anomask train data.folder=<folder> ...",
    "train experiment=detector data=folder": "data.folder is missing",
    "train data.folder=${pats.data}/x": "Interpolation key 'pats.data' not found: did you mean paths.data?",
    "train name=${x": "name: ",
    "train =3": "'=3'",
    "train seed=abc": "seed: got 'abc', wanted a whole number",
    "train stage.min_perplexity=[1,2]": "stage.min_perplexity: got [1, 2], wanted a number",
    "train data.size=abc": "data.size: got 'abc', wanted a whole number (PhantomDataModule)",
    "train data.size=''": "data.size: got '', wanted a whole number",
    "train data.batch_size={_target_:builtins.print,x:1}": "data.batch_size._target_: got builtins.print",
    "train model.quantiser.n_codes={}": "model.quantiser.n_codes: got {}, wanted a whole number",
    "train scoring.crops={_target_:os.getpid}": "scoring.crops: a mapping takes the place of null in a file alone",
    "train +model.encoder.chanels=[1]": "did you mean model.encoder.channels?",
    "train trainer.precision=32-tru": "trainer.precision: got '32-tru', wanted ",
    "train -m seed=abc,1": "seed: got 'abc', wanted a whole number",
    "train -m experiment=detectr,codebook": "did you mean detector?",
    "evaluate": "run is missing: anomask evaluate run=<a detector's run folder> ...",
    "evaluate rum=x": "did you mean run?",
    "evaluate run=x bootstrap=many": "bootstrap: got 'many', wanted a whole number",
    "predict run=x": "input is missing: anomask predict input=<a slice> ...",
    "compare first=x": "second is missing",
    "prepare inptu=x output=y": "did you mean input?",
    "prepare input=x output=y recipe=msd_lungs": "did you mean msd_lung?",
    "prepare input=x output=y workers=two": "workers: got 'two', wanted a whole number",
    "verify data=folders": "did you mean folder?",
    "tables": "records is missing",
    "tables records=x paper_tabel=t1": "did you mean paper_table?",
    "external anomalib=any": "baseline.model",
    "sweep sweeep=x": "did you mean sweep?",
    "reproduce seeds=x": "seeds: got 'x', wanted a whole number",
    "transplant scales=big": "scales: got 'big', wanted a list",
    "trian": "no command 'trian': did you mean train?",
    "--versoin": "did you mean --version?",
}

# One of a kind runs by default, all of them with the slow tests.
KINDS = (
    "train data.sise=3",
    "train +experimnt=detector",
    "train experiment=detectr",
    "train detector",
    "train experiment=detector data=folder",
    "train seed=abc",
    "train data.size=abc",
    "train -m seed=abc,1",
    "evaluate",
    "prepare input=x output=y recipe=msd_lungs",
    "tables records=x paper_tabel=t1",
    "trian",
)


def said(line, monkeypatch, capfd):
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["anomask", *line.split()])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capfd.readouterr()
    return stop.value.code, captured.out + captured.err


@pytest.mark.parametrize(
    "line", [line if line in KINDS else pytest.param(line, marks=pytest.mark.slow) for line in MISTAKES]
)
def test_a_mistake_is_one_line_and_nothing_is_made(line, monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    code, text = said(line, monkeypatch, capfd)
    assert code in (1, 2) and MISTAKES[line] in text
    assert len(text.splitlines()) == 1 and "hydra.cc" not in text
    assert list(tmp_path.iterdir()) == [] or "-m" in line  # Hydra writes multirun.yaml


def test_a_gpu_that_is_not_there_is_said(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("anomask.training.devices.CUDAAccelerator.auto_device_count", lambda: 0)
    monkeypatch.setattr("anomask.training.devices.MPSAccelerator.is_available", lambda: False)
    code, text = said("train device=gpu", monkeypatch, capfd)
    assert code == 1 and "no GPU is seen" in text and len(text.splitlines()) == 1
    monkeypatch.setattr("anomask.training.devices.CUDAAccelerator.auto_device_count", lambda: 2)
    assert "trainer.devices=4, but this machine has 2" in said("train device=ddp", monkeypatch, capfd)[1]
    assert list(tmp_path.iterdir()) == []

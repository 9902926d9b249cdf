"""`anomask <verb>`: names the commands, and imports none of them until it is asked for."""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

VERBS = {
    "prepare": "DICOM, NIfTI, MetaImage or images in, a data folder out",
    "verify": "check a data folder before anything is trained on it",
    "fit": "both stages and the evaluation of a data folder, in one command",
    "train": "train one stage, or many with -m: a codebook of normal lung, the detector on it, a comparison method",
    "evaluate": "score a test set once with a trained run",
    "predict": "scores, maps and lesion candidates of new slices or volumes",
    "compare": "two evaluated runs on the same slices, paired",
    "sweep": "the jobs of a sweep on one page",
    "tables": "a table of the paper from records",
    "reproduce": "train and evaluate what a table lacks",
    "transplant": "a test set of real lesions in real normal slices",
    "external": "a model of another library as a comparison method",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the first argument names.

    Args:
        arguments: the verb and what follows it; None takes those of the process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return
    verb, *rest = arguments
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        sys.stderr.write(f"anomask: no command {verb!r}: {hint}Commands: {', '.join(VERBS)}.\n")
        sys.exit(2)
    if verb == "fit":  # anomask fit data/ours
        rest = [one if "=" in one or one.startswith("-") else f"folder={one}" for one in rest]
    typed, sys.argv = sys.argv, [sys.argv[0], *rest]  # Hydra reads them there
    try:
        import_module(f"anomask.commands.{verb}").main()
    finally:
        sys.argv = typed


def _help() -> str:
    width = max(map(len, VERBS)) + 2
    verbs = "".join(f"  {verb:{width}}{what}\n" for verb, what in VERBS.items())
    return f"""anomask: unsupervised detection and localisation of lung disease in CT slices

usage: anomask <command> [key=value ...]
       anomask <command> --help

{verbs}"""

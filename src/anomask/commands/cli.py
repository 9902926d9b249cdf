"""`anomask <verb>`: names the commands, and imports none of them until it is asked for."""

import sys
from collections.abc import Sequence
from importlib import import_module

import anomask

VERBS = {
    "prepare": "DICOM, NIfTI, MetaImage or images in, a data folder out",
    "pool": "the training normals of several data folders as one",
    "verify": "check a data folder before anything is trained on it (fit does, too)",
    "fit": "from a data folder to an evaluated detector, in one command",
    "train": "one training, or many with -m: a detector, a codebook, a comparison method",
    "evaluate": "score a test set with a trained run: figures, pictures, report",
    "predict": "scores, maps and lesion candidates of new slices or volumes",
    "export": "a detector as one file, for predictions without its run folder",
    "describe": "what a detector is: training, thresholds, figures, limits",
    "compare": "two evaluated runs on the same slices, with intervals of the difference",
    "sweep": "the jobs of train -m on one page",
    "tables": "a table of results from the records of evaluations",
    "reproduce": "train and evaluate what such a table lacks",
    "transplant": "make a test set: real lesions in real normal slices",
    "external": "train a model of anomalib as a comparison method",
}


HELP = ("-h", "--help", "help")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the first argument names.

    Args:
        arguments: the verb and what follows it; None takes those of the process.
    """
    verb, *rest = (sys.argv[1:] if arguments is None else arguments) or HELP
    if verb in HELP and (not rest or rest[0] not in VERBS or verb != "help"):
        sys.stdout.write(_help())
    elif verb == "--version":
        sys.stdout.write(f"anomask {anomask.__version__}\n")
    elif verb == "completion":
        from anomask.console.completion import answer

        sys.stdout.write(answer(rest, VERBS))
    elif verb == "help":
        import_module(f"anomask.commands.{rest[0]}").main(["--help", *rest[1:]])
    elif verb in VERBS:
        if verb == "fit":  # anomask fit data/ours
            rest = [one if "=" in one or one.startswith("-") else f"folder={one}" for one in rest]
        import_module(f"anomask.commands.{verb}").main(rest)
    else:
        from anomask.errors import did_you_mean

        near = did_you_mean(verb, [*VERBS, "completion", "--help", "--version"]) or "."
        sys.stderr.write(f"anomask: no command {verb!r}{near} Commands: {', '.join(VERBS)}\n")
        sys.exit(2)


def _help() -> str:
    width = max(map(len, VERBS)) + 2
    verbs = "".join(f"  {verb:{width}}{what}\n" for verb, what in VERBS.items())
    return f"""anomask: unsupervised detection and localisation of lung disease in CT slices

usage: anomask <command> [key=value ...]
       anomask <command> --help
       anomask --version
       eval "$(anomask completion bash)"    completes commands, groups and keys with <Tab>

{verbs}
first: anomask fit folder=<a data folder, as of prepare>, then anomask predict run=<its name> input=<slices or scans>
"""

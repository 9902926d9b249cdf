"""What the long tests have tried, one line of JSON each, where ``TALLY`` names a file."""

import json
import os
from pathlib import Path


def tally(kind, what, tried, **more):
    """Note that so many cases were tried and all held; whoever calls this has made sure of it.

    Args:
        kind: "kills", "fuzz" or "soak".
        what: was tried.
        tried: how often.
        more: what else was measured.
    """
    if file := os.environ.get("TALLY"):
        line = json.dumps({"kind": kind, "what": what, "tried": tried, **more})
        with Path(file).open("a") as stream:
            stream.write(line + "\n")

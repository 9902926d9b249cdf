"""The counts of docs/evidence/reliability.md are those of the record beside it."""

import json
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs/evidence"
PAGE = (FOLDER / "reliability.md").read_text()
RECORD = [json.loads(line) for line in (FOLDER / "reliability.jsonl").read_text().splitlines()]


def test_every_count_is_of_the_record_and_every_line_of_that_is_on_the_page():
    wanted = {f"| {line['what']} | {line['tried']:,} |" for line in RECORD if line["kind"] in ("kills", "fuzz")}
    counts = {line for line in PAGE.splitlines() if line.startswith("| ") and line.split("|")[2].strip()[0].isdigit()}
    assert counts == wanted
    (soak,) = (line for line in RECORD if line["kind"] == "soak")
    said = f"{soak['tried']} rounds in {soak['minutes']} minutes; the most memory held was {soak['grown_mb']} MB above"
    assert said in " ".join(PAGE.split())


def test_all_kinds_were_tried_as_often_as_promised():
    kills, cases = ([line["tried"] for line in RECORD if line["kind"] == kind] for kind in ("kills", "fuzz"))
    assert len(kills) == 14 and min(kills) >= 10 and sum(cases) >= 10_000

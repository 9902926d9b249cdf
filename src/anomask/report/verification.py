"""What was found in a data folder, as text: errors first, faults of one kind together."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from anomask.data.checks.verification import Verification
from anomask.data.folder.findings import ERROR, Finding
from anomask.errors import AnomaskError

SHOWN = 10  # of one kind; the number of the others is said


def verification_text(verification: Verification, all_of_them: bool = False) -> str:
    """Return the counts of a data folder and everything that was found in it.

    Args:
        verification: what was found.
        all_of_them: whether to show more than ten findings of a kind.
    """
    found = verification.findings
    lines = [str(verification.folder), "", *_counts(verification.fingerprint), ""]
    order = sorted(found, key=lambda finding: (finding.severity != ERROR, finding.kind))  # stable: files keep theirs
    for (severity, kind), group in groupby(order, key=lambda finding: (finding.severity, finding.kind)):
        lines += _of_one_kind(severity, kind, list(group), None if all_of_them else SHOWN)
    n_errors = len(verification.errors)
    lines.append(f"{_number(n_errors, 'error')}, {_number(len(found) - n_errors, 'warning')}")
    return "\n".join(lines) + "\n"


def in_short(findings: Sequence[Finding]) -> list[str]:
    """Return one line for each kind of finding: the first one, and how many there are besides."""
    lines = []
    for _, group in groupby(sorted(findings, key=lambda finding: finding.kind), key=lambda finding: finding.kind):
        first, *others = group
        lines.append(f"{first.message} {first.remedy}{f' ({len(others)} more of this kind)' if others else ''}")
    return lines


def refusal(verification: Verification) -> AnomaskError | None:
    """Return the error with which a training refuses a data folder, or None where it can be trained on."""
    found = verification.errors
    if not found:
        return None
    message = " ".join(in_short(found)[:3])
    return found[0].raises(
        f"{_number(len(found), 'error')} in {verification.folder}. {message} All of them: anomask verify "
        f"folder={verification.folder} (verify=false trains unchecked)"
    )


def _counts(fingerprint: dict[str, Any]) -> list[str]:
    rows = [("split", "label", "disease", "slices", "patients", "masks", "lung masks")]
    for part in fingerprint["parts"]:
        patients = part["patients"] or "not known"
        rows.append(
            (part["split"], part["label"], part["disease"], part["slices"], patients, part["masks"], part["lung_masks"])
        )
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    sizes = ", ".join(f"{size} ({count})" for size, count in list(fingerprint["sizes"].items())[:5])
    more = len(fingerprint["sizes"]) - 5
    return [*table, "", f"sizes: {sizes}{f' and {more} more' if more > 0 else ''}", f"SHA-256: {fingerprint['sha256']}"]


def _of_one_kind(severity: str, kind: str, found: Sequence[Finding], shown: int | None) -> list[str]:
    lines = [f"{severity.upper()} {kind} ({len(found)})"]
    for remedy, group in groupby(sorted(found, key=lambda one: one.remedy)[:shown], key=lambda one: one.remedy):
        lines += [f"  {finding.message}" for finding in group]
        lines.append(f"    -> {remedy}")
    hidden = 0 if shown is None else max(0, len(found) - shown)
    if hidden:
        lines.append(f"  and {hidden} more (all=true shows them)")
    return [*lines, ""]


def _number(count: int, of_what: str) -> str:
    return f"{count} {of_what}{'' if count == 1 else 's'}"

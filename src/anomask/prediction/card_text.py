"""A detector's card as text."""

from anomask.errors import printable
from anomask.prediction.model import Card


def card_text(card: Card) -> str:
    """Return the card as lines for a terminal."""
    fixed, data = card.threshold, card.trained_on
    framed = "the box of the estimated lungs" if card.crop == "lungs" else "the whole slice"
    window = (
        "not known; volumes are windowed as lung" if card.window is None else "{:g} to {:g} HU".format(*card.window)
    )
    commit = "" if card.commit is None else f", commit {card.commit[:12]}"
    rows = {
        "detector": f"{card.name} (run {card.run}, checkpoint {card.checkpoint})",
        "made with": f"anomask {card.version}{commit}",
        "learned from": f"normal slices of {data['data'] or 'a folder without a name'}, "
        + (f"contents {data['sha256'][:12]}" if data["sha256"] else "contents not recorded"),
        "sees": f"{framed} at {card.size} px; window {window}",
        "threshold": f"score > {fixed['threshold']:.4g} is called abnormal: {fixed['specificity']:.0%} of "
        f"{fixed['n_normals']} validation normals lie below",
        "of pixels": f"map > {fixed['pixel']['threshold']:.4g} belongs to a lesion candidate",
    }
    lines = [f"{name + ':':14}{printable(text)}" for name, text in rows.items()]
    lines += ["figures (95 % interval):" if card.figures else "figures:      none: it was not evaluated"]
    for row in card.figures:
        value = "not defined" if row["value"] is None else f"{row['value']:.3f}"
        ends = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}], by {row['unit']}"
        lines.append(f"  {printable(row['data'])}: {row['figure']} {value}{ends}")
    lines += [
        "limits:       other hospitals, scanners and reconstructions than those that it learned from; lesions outside",
        "              of the lungs; diseases without a visible opacity. docs/evidence/model_card.md has more.",
        f"note:         {card.note}",
    ]
    return "\n".join(lines) + "\n"

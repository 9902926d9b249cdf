"""One self-contained HTML page of an evaluation: tables and overlays, nothing to install or to fetch."""

import base64
import html
from collections.abc import Sequence
from typing import Any

from anomask.report.evaluation.markdown import SYNTHETIC, summary
from anomask.report.pictures import Picture, png_bytes
from anomask.report.template import policy

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: left; }
figure { display: inline-block; margin: .4rem; } figcaption { font-size: 12px; max-width: 34rem; }
img { image-rendering: auto; width: 34rem; } .note { background: #fff3cd; padding: .6rem 1rem; }
"""


def page(record: dict[str, Any], pictures: Sequence[Picture]) -> str:
    """Return the page.

    Args:
        record: the result record.
        pictures: overlays, in the order to show them.
    """
    figures = "\n".join(
        f'<figure><img alt="{html.escape(p.caption)}" src="data:image/png;base64,'
        f'{base64.b64encode(png_bytes(p.pixels)).decode()}"><figcaption>{html.escape(p.caption)}</figcaption></figure>'
        for p in pictures
    )
    note = f'<p class="note">{SYNTHETIC}</p>' if record["synthetic"] else ""
    title = html.escape(f"{record['run']} on {record['data']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}"><title>{title}</title><style>{STYLE}</style>'
        f"{note}{_to_html(summary(record))}<h2>Overlays</h2><p>Slice, slice with the outlined lesion (green, where "
        "known), anomaly map, overlay. One colour scale for all: full colour at twice the decision threshold, at most "
        "1.</p>"
        f"{figures}</html>\n"
    )


def _to_html(markdown: str) -> str:
    # Only what `summary` writes: headings, tables and paragraphs.
    parts = []
    for block in markdown.strip().split("\n\n"):
        if block.startswith("#"):
            level = len(block) - len(block.lstrip("#"))
            parts.append(f"<h{level}>{_escaped(block[level + 1 :])}</h{level}>")
        elif block.startswith("|"):
            lines = [line.strip("|").split("|") for line in block.split("\n")]
            head = "".join(f"<th>{_escaped(cell)}</th>" for cell in lines[0])
            body = "".join(f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in line)}</tr>" for line in lines[2:])
            parts.append(f"<table><tr>{head}</tr>{body}</table>")
        else:
            parts.append(f"<p>{_escaped(block.replace('**', ''))}</p>")
    return "".join(parts)


def _escaped(text: str) -> str:
    return html.escape(html.unescape(text.strip()))  # Markdown has entities of its own, see `report.text.inline`

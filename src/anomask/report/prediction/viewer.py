"""Self-contained pages to leaf through predicted slices: nothing to install, to serve or to fetch."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from anomask.files import write_text
from anomask.report.prediction.candidates import Candidate
from anomask.report.template import fill, script_json
from anomask.scoring.colour import heat

PICTURE_SIDE = 256  # longest side of an embedded slice in pixels
LAYER_SIDE = 128  # of an embedded map, which is smoother than its slice
SLICES_A_PAGE = 500  # about 20 kB each, 10 MB a page: browsers open it at once
QUALITY = 80  # of WebP; the files beside the page are lossless
LISTED = 5  # candidates named below a slice

# The candidates on a slice, the highest peak first, each with its box there: first and last row, first and last column.
Found = Sequence[tuple[Candidate, tuple[tuple[int, int], ...]]]


class Viewer:
    """Writes index.html, and index_2.html, ... where there are more slices than one page holds.

    Args:
        folder: where the pages go.
        title: what was predicted, and by which run.
        threshold: a slice is called abnormal if its score is greater.
        pixel_threshold: a pixel belongs to a lesion candidate if its map value is greater.
        full_colour: map value at which the colours are full.
    """

    def __init__(self, folder: Path, title: str, threshold: float, pixel_threshold: float, full_colour: float) -> None:
        self.folder, self.title, self.full_colour = folder, title, full_colour
        self.threshold, self.pixel_threshold = threshold, pixel_threshold
        self.entries: list[dict[str, Any]] = []
        self.page = 1

    def add(
        self,
        name: str,
        pixels: np.ndarray,
        anomaly_map: np.ndarray,
        score: float,
        percentile: float | None,
        found: Found,
    ) -> None:
        """Add a slice.

        Args:
            name: what it is called on the page.
            pixels: [H, W] uint8.
            anomaly_map: [H, W] float32.
            score: of the slice.
            percentile: among validation normals, or None.
            found: lesion candidates on this slice.
        """
        if len(self.entries) == SLICES_A_PAGE:
            self._write(more=True)
            self.page, self.entries = self.page + 1, []
        height, width = pixels.shape
        picture = Image.fromarray(pixels).resize(_within(PICTURE_SIDE, width, height), Image.Resampling.BOX)
        layer = map_layer(anomaly_map, self.full_colour, _within(LAYER_SIDE, width, height))
        self.entries.append(
            {
                "name": name,
                "score": score,
                "abnormal": score > self.threshold,
                "percentile": percentile,
                "size": [width, height],
                "slice": data_uri(picture),
                "map": data_uri(layer),
                "boxes": [_corners(box) for _, box in found],
                "candidates": [f"{_size(one)}, peak {one.peak:.3g}" for one, _ in found[:LISTED]],
            }
        )

    def close(self) -> None:
        """Write the last page."""
        self._write(more=False)

    def _write(self, more: bool) -> None:
        colours = (heat(torch.linspace(0, 1, 9)[None])[:, 0].T * 255).round().int().tolist()
        fields = {
            "TITLE": html.escape(self.title),
            "PAGES": self._links(more),
            "THRESHOLD": f"{self.threshold:.4g}",
            "PIXEL": f"{self.pixel_threshold:.4g}",
            "FULL": f"{self.full_colour:.4g}",
            "COLOURS": ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in colours),
            "ENTRIES": script_json(self.entries),
        }
        write_text(self.folder / page_name(self.page), fill("prediction/viewer.html", fields))

    def _links(self, more: bool) -> str:
        links = [f'<a href="{page_name(self.page - 1)}">Earlier slices</a>'] if self.page > 1 else []
        links += [f'<a href="{page_name(self.page + 1)}">Later slices</a>'] if more else []
        if not links:
            return ""
        first = (self.page - 1) * SLICES_A_PAGE + 1
        place = f"Page {self.page}: slices {first} to {first + len(self.entries) - 1}, sorted among themselves."
        return f'<nav aria-label="Pages">{place} {" ".join(links)}</nav>'


def page_name(page: int) -> str:
    """Name a page's file."""
    return "index.html" if page == 1 else f"index_{page}.html"


def map_layer(anomaly_map: np.ndarray, full_colour: float, size: tuple[int, int]) -> Image.Image:
    """Turn a map [H, W] into an RGBA layer that makes an overlay of the slice below it, as `colour.overlay` does."""
    small = np.asarray(Image.fromarray(anomaly_map).resize(size, Image.Resampling.BOX))
    level = (torch.from_numpy(small.copy()) / max(full_colour, 1e-12)).clamp(0, 1)
    layer = torch.cat([heat(level), 0.8 * level.sqrt()[None]])
    return Image.fromarray((layer * 255).round().byte().permute(1, 2, 0).numpy())


def data_uri(picture: Image.Image) -> str:
    """Encode a picture as WebP inside a data URI."""
    stream = io.BytesIO()
    picture.save(stream, format="webp", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _within(side: int, width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _corners(box: tuple[tuple[int, int], ...]) -> list[int]:
    (top, bottom), (left, right) = box
    return [left, top, right - left + 1, bottom - top + 1]


def _size(one: Candidate) -> str:
    unit = {"mm2": "mm²", "mm3": "mm³"}.get(one.unit, one.unit)
    return f"{one.size:.0f} {unit}"

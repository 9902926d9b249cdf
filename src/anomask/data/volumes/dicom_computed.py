"""Pictures that are computed from slices and are no slices: projections, renderings, screens."""

import re
from collections.abc import Iterable

# Words by which scanners and workstations name, in ImageType, what is computed from slices and is no slice.
COMPUTED = re.compile(
    r"\b(MIP|MINIP|MAXIP|MAX IP|MIN IP|MAXIMUM|MINIMUM|PROJECTION|RENDER(ED|ING)?|VRT?|SSD|CPR|CURVED|SUBTRACT(ED|ION)?"
    r"|FUS(ED|ION)|PERFUSION|SCREEN|SCREENSHOT|CAPTURE)\b"
)
PROJECTED = re.compile(r"\b(MIP|MINIP|MAXIP|MAX IP|MIN IP|VRT)\b")  # in the description of a derived series


def computed_picture(image_type: Iterable[str], description: str) -> str:
    """Return the word that says that an image is computed from slices, or ''.

    Args:
        image_type: the values of ImageType.
        description: SeriesDescription; of an original series it may say what else was made of it.
    """
    words = [_plain(word) for word in image_type]
    found = [word for word in words[1:] if COMPUTED.search(word)]
    if "ORIGINAL" not in words and PROJECTED.search(_plain(description)):
        found.append(_plain(description))
    return found[0] if found else ""


def _plain(word: str) -> str:
    return word.upper().replace("_", " ").strip()

"""The masks and tables that belong to a volume or an image."""

import glob
from pathlib import Path

from anomask.errors import ConfigError, DataError
from anomask.preparation.groups import fits


class Companions:
    """Finds masks and tables among the files of the input; nothing outside it can be named.

    Args:
        files: all files, by their paths inside the input.
    """

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files

    def find(self, pattern: str, about: dict[str, str], optional: bool = False) -> Path | None:
        """Return the file of a pattern, such as 'masks/{stem}_mask.nii*', or None where there is none and may be none.

        Raises:
            ConfigError: the pattern has a field that is not known.
            DataError: there is no such file, or several.
        """
        try:
            plain = pattern.format(**about).removeprefix("./")
            # Brackets in a name are no pattern: "scan [1].nii" would stand for "scan 1.nii".
            wanted = pattern.format(**{key: glob.escape(value) for key, value in about.items()}).removeprefix("./")
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(f"{pattern!r} cannot be filled in ({error}); known: {', '.join(about)}.") from error
        if plain in self._files:
            return self._files[plain]
        found = [path for path in self._files if fits(path, wanted)]
        if len(found) == 1:
            return self._files[found[0]]
        if not found and optional:
            return None
        raise DataError(
            f"{len(found)} files inside the input match {plain!r}; one is wanted. Correct the pattern {pattern!r}"
            f"{'' if found else ', or allow for none with mask_optional=true'}."
        )

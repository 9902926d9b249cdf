"""What a command knows: its groups and keys, with the defaults and comments that the files in conf/ give them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml
from hydra import compose, initialize, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

from anomask.console.yaml_comments import Entry, entries, header
from anomask.settings.compose import ALONE, CONF_FOLDER, SUFFIX, known_as, register

# Groups that a command's defaults list does not name: they are added, as +ablation=<file>.
ADDED = {"train": ("ablation",)}
NOT_KEYS = ("defaults", "hydra")


class Key(NamedTuple):
    """One key that may be set."""

    path: str
    default: str
    comment: str
    heading: str  # what precedes it and those after it in its file


@contextmanager
def _loader(verb: str) -> Iterator[ConfigLoader]:
    register()
    alone = verb in ALONE
    with initialize(None, version_base="1.3") if alone else initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@cache
def _defaults_of(verb: str, asked: tuple[str, ...]) -> tuple[list, dict[str, str | None]]:
    with _loader(verb) as loader:
        found = loader.compute_defaults_list(known_as(verb), list(asked), RunMode.RUN)
    return found.defaults, found.overrides.known_choices


@cache
def _entries_of(file: Path) -> list[Entry]:
    return list(entries(file.read_text(encoding="utf-8"), NOT_KEYS))


class Known:
    """Groups and keys of a command, given what was asked for already.

    Args:
        verb: the command.
        overrides: in Hydra's grammar, such as ``experiment=detector``.
        config_dir: the user's own conf folder, or None.
    """

    def __init__(self, verb: str, overrides: Sequence[str] = (), config_dir: str | None = None) -> None:
        self.verb, self.overrides, self.config_dir = verb, list(overrides), config_dir
        self.folders = [CONF_FOLDER, *([Path(config_dir).absolute()] if config_dir else [])]

    @property
    def _asked(self) -> list[str]:
        # A path in double quotes: it may hold anything that Hydra's grammar knows.
        return [*self.overrides, *(f'hydra.searchpath=["{folder}"]' for folder in self.folders[1:])]

    def composed(self) -> DictConfig:
        """Compose the settings as Hydra will."""
        with _loader(self.verb):
            return compose(known_as(self.verb), self._asked)

    @property
    def _defaults(self) -> tuple[list, dict[str, str | None]]:
        return _defaults_of(self.verb, tuple(self._asked))

    def about(self) -> str:
        """Return what the command's file in conf/ says of it."""
        settings = yaml.safe_load((CONF_FOLDER / f"{self.verb}.yaml").read_text(encoding="utf-8"))
        return settings["hydra"]["help"]["template"].strip()

    def choices(self) -> dict[str, str | None]:
        """Return the groups of this command, each with the file that is chosen or None."""
        chosen = {name: choice for name, choice in self._defaults[1].items() if not name.startswith("hydra/")}
        return dict(sorted((chosen | dict.fromkeys(ADDED.get(self.verb, ()))).items()))

    def options(self, group: str) -> list[str]:
        """Return the files of a group."""
        return sorted({file.stem for folder in self.folders for file in (folder / group).glob("*.yaml")})

    def files(self) -> dict[str, tuple[Path, str]]:
        """Return the files that the settings are composed of, in order: name inside conf/, path and package."""
        found = {}
        for part in self._defaults[0]:
            name = f"{part.config_path.removesuffix(SUFFIX)}.yaml"
            file = next((folder / name for folder in self.folders if (folder / name).is_file()), None)
            if file is not None and not name.startswith("hydra/"):
                found[name] = (file, part.package or "")
        return found

    def headers(self) -> dict[str, str]:
        """Return what each file says of itself."""
        return {name: header(file.read_text(encoding="utf-8")) for name, (file, _) in self.files().items()}

    def keys(self) -> dict[str, Key]:
        """Return every key with its default, after what was asked for, and the comment beside it."""
        keys: dict[str, Key] = {}
        for file, package in self.files().values():
            of_mapping = ""  # the comment beside a mapping is said at the first of its keys
            for entry in _entries_of(file):
                path = f"{package}.{entry.path}" if package else entry.path
                before = keys.get(path)
                if entry.value is None:  # a mapping, which may take the place of null
                    keys.pop(path, None)
                    of_mapping = entry.comment
                    continue
                for below in [other for other in keys if other.startswith(f"{path}.")]:
                    del keys[below]
                comment = entry.comment or of_mapping or (before.comment if before else "")
                keys[path] = Key(path, entry.value, comment, entry.heading or (before.heading if before else ""))
                of_mapping = ""
        for override in OverridesParser.create().parse_overrides(self.overrides):
            if override.key_or_group in keys:
                asked = override.input_line.split("=", 1)[-1]
                keys[override.key_or_group] = keys[override.key_or_group]._replace(default=asked)
        return keys

"""Groups of an input folder: which files belong together, and what is known about them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from anomask.errors import ConfigError, DataError

SPLITS = ("train", "test", "by_patient")
VALUES = ("hu", "grey")
LESION_FREE = ("skip", "normal")
NEEDS = {"mask_labels": ("mask",), "lung_labels": ("lung_mask",), "mask_optional": ("mask",)}
NEEDS |= {"lesion_free": ("mask", "nodules")}  # options that mean nothing without one of these
SKIPPED = "skip"  # a disease of this name in a table leaves the slice out


@dataclass(frozen=True)
class Group:
    """What is known about some volumes or images of the input; conf/prepare.yaml says what each key means."""

    pattern: str | list[str] = "*"
    split: str = "by_patient"
    disease: str = ""
    patient: str = ""
    mask: str = ""
    mask_labels: list[int] | None = None
    mask_optional: bool = False
    lung_mask: str = ""
    lung_labels: list[int] | None = None
    lesion_free: str = "skip"
    nodules: str = ""
    values: str = "hu"
    table: str = ""
    table_columns: list[str] | None = None
    table_separator: str = ","
    diseases: dict[str, str] | None = None

    def __post_init__(self) -> None:
        """Raise a ConfigError for values that do not exist or contradict each other."""
        for name, known in (("split", SPLITS), ("values", VALUES), ("lesion_free", LESION_FREE)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; use one of {', '.join(known)}.")
        knows_lesions = bool(self.mask or self.nodules)
        if self.disease and self.split != "test" and not (knows_lesions and self.lesion_free == "normal"):
            raise ConfigError(
                f"disease is {self.disease!r} and split {self.split}: nothing is learned from abnormal slices. Use "
                "split=test, or masks with lesion_free=normal to learn from the slices without lesion."
            )
        if knows_lesions and not self.disease:
            raise ConfigError("mask or nodules are given and no disease: name what they mark, such as disease=covid19.")
        for name in ("mask_labels", "lung_labels"):
            labels = getattr(self, name)
            if labels is not None and (not labels or 0 in labels):
                raise ConfigError(f"{name} is {list(labels)}; name at least one label, and not 0: the background.")
        check_disease(self.disease)
        try:
            re.compile(self.patient)
        except re.error as error:
            raise ConfigError(f"patient {self.patient!r} is no regular expression ({error}).") from error

    def matches(self, path: str) -> bool:
        """Say whether a path inside the input belongs to the group."""
        patterns = [self.pattern] if isinstance(self.pattern, str) else self.pattern
        return any(fits(path, pattern) for pattern in patterns)

    def told(self) -> str:
        """Return what belongs to the group, in words."""
        pattern = self.pattern if isinstance(self.pattern, str) else ", ".join(self.pattern)
        return f"pattern {pattern}" + (f", table {self.table}" if self.table else "")

    def names_in(self, path: str) -> dict[str, str]:
        """Return what the group's regular expression finds in a path inside the input.

        Returns:
            `patient`: the group of that name, or the first group, '' where the group says nothing of patients; and
            every other named group, for the patterns of masks

        Raises:
            DataError: the path does not match.
        """
        if not self.patient:
            return {"patient": ""}
        found = re.search(self.patient, path)
        if not found:
            raise DataError(f"{path} does not match patient={self.patient!r}. Correct the expression.")
        named = {name: value or "" for name, value in found.groupdict().items()}
        return {"patient": found.group(1 if found.groups() else 0)} | named


def fits(path: str, pattern: str) -> bool:
    """Say whether a path inside the input fits a pattern; * also stands for /, and */ for any folder or none."""
    return fnmatchcase(path, pattern) or fnmatchcase(f"/{path}", pattern)


def build_groups(defaults: Mapping[str, Any], overrides: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Return the groups of a recipe, each with the top-level settings where it says nothing; one group without recipe.

    Raises:
        ConfigError: a key that no group has, a value that does not exist, or an option that does not apply.
    """
    known = {field.name for field in fields(Group)}
    groups = []
    for override in overrides or [{}]:
        unknown = sorted(override.keys() - known)
        if unknown:
            raise ConfigError(f"a group has the keys {unknown}; the known ones are {', '.join(sorted(known))}.")
        own = {key: value for key, value in defaults.items() if key in known and value is not None}
        groups.append(Group(**(own | dict(override))))
    for option, needed in NEEDS.items():
        given = [group for group in groups if getattr(group, option) != getattr(Group, option)]
        if given and not any(getattr(group, name) for group in given for name in needed):
            raise ConfigError(
                f"{option} is {getattr(given[0], option)!r}, and no group has {' or '.join(needed)}: it would do "
                "nothing. Leave it out, or say where the masks are."
            )
    return groups


def check_disease(disease: str) -> None:
    """Raise a ConfigError for a disease that cannot name a folder."""
    if (disease and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", disease)) or disease in ("all", "normal"):
        raise ConfigError(
            f"disease is {disease!r}; it names a folder: letters, digits and _ . - alone, and neither 'all' nor "
            "'normal' (leave it empty for normal slices)."
        )

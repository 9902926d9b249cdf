"""Keyed pseudonyms: the same person has the same one under the same key, and without the key no one can try names."""

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from anomask.errors import ConfigError

DIGITS = 12  # 48 bits: in a million patients two share a pseudonym with probability 0.002
SHORTEST_KEY = 16


class Pseudonyms:
    """Names for patients and series in the output.

    Args:
        key: secret bytes.
        plain: keep the ids as they are, without characters that no file name should have.
    """

    def __init__(self, key: bytes, plain: bool = False) -> None:
        self._key, self._plain = key, plain

    def name(self, kind: str, identity: str) -> str:
        """Return the name for an id; '' stays ''.

        Args:
            kind: 'patient' or 'series'; the same id of two kinds has two pseudonyms.
            identity: the id as read.
        """
        if not identity:
            return ""
        if self._plain:
            return re.sub(r"[^A-Za-z0-9.-]+", "-", identity).strip(".-") or self.digest(kind, identity)
        return kind[0] + self.digest(kind, identity)

    def digest(self, kind: str, text: str, digits: int = DIGITS) -> str:
        """Return a keyed hash (HMAC-SHA256) of any text, in hexadecimal digits."""
        return hmac.new(self._key, f"{kind}:{text}".encode(), hashlib.sha256).hexdigest()[:digits]


def read_key(file: Path, output: Path) -> bytes:
    """Read the key, or make a new one that its owner alone can read.

    Raises:
        ConfigError: the key would lie in the output and travel with the data, is too short, or cannot be read.
    """
    if file.resolve().is_relative_to(output.resolve()):
        raise ConfigError(f"key_file {file} lies in the output, with which it would be given away. Keep it elsewhere.")
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_hex(32) + "\n")
        key = file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"key_file {file} cannot be read or made ({error.strerror}). Choose another.") from error
    if len(key) < SHORTEST_KEY:
        raise ConfigError(f"key_file {file} has {len(key)} characters; at least {SHORTEST_KEY} are wanted. Remove it.")
    return key

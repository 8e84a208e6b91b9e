"""manifest.json, as partstad reads it."""

import hashlib
import json
import pathlib
from collections.abc import Iterator

from checkpoint import Refused

SECTIONS = ("detector", "segmenter", "concepts")


def update(folder: pathlib.Path, section: str, content: dict) -> None:
    """Puts the `section` "detector", "segmenter" or "concepts" into the folder's manifest and the checksums of all files named."""
    manifest = read(folder) | {"version": 1, "name": folder.resolve().name, "stand_in": False, section: content}
    manifest.pop("precision", None)
    write(folder, manifest)


def write(folder: pathlib.Path, manifest: dict) -> None:
    """Writes the folder's manifest, with the checksums of all files that it names."""
    used = {file for name in strings([manifest.get(section) for section in SECTIONS]) if name.strip(" .")
            for file in (name, name + ".data") if (folder / file).is_file()}
    manifest["files"] = {file: sha256(folder / file) for file in sorted(used)}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def read(folder: pathlib.Path) -> dict:
    path = folder / "manifest.json"
    return read_object(path) if path.exists() else {}


def read_object(path: pathlib.Path) -> dict:
    """The object in a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise Refused(f"{path}: not JSON: {e}") from None
    if not isinstance(content, dict):
        raise Refused(f"{path}: not a JSON object, {{...}}")
    return content


def strings(value) -> Iterator[str]:
    """Every string that is a value somewhere inside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

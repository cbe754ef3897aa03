"""config.json: what a run folder holds, and whether a new run may continue it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath

from taskpoint.errors import RunFolderError, SettingError
from taskpoint.settings import shown
from taskpoint.strict_json import parse

# Raised when older folders cannot be continued or read any more.
SCHEMA_VERSION = 1
_LIBRARIES = ("taskpoint", "torch", "transformers", "tokenizers", "numpy")


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide a result, by name; none of them is imported."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@dataclass(frozen=True)
class Manifest:
    """The content of config.json.

    Attributes:
        versions: Library versions at the start of the run; each part of rows holds its own.
    """

    kind: str
    config: Mapping[str, object]
    versions: Mapping[str, str] = field(default_factory=library_versions)

    def to_json(self) -> bytes:
        """The file's bytes."""
        content = {
            "schema": SCHEMA_VERSION,
            "kind": self.kind,
            "config": dict(self.config),
            "versions": dict(self.versions),
        }
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Manifest:
        """Reads the bytes of the file called `where`; a RunFolderError where it is damaged, or of another schema."""
        try:
            found = parse(content)
            if "schema" not in found and "model_type" in found:
                raise RunFolderError(f"{where} is the config of a model, not of a run: give another folder")
            schema, kind, config, versions = (found[name] for name in ("schema", "kind", "config", "versions"))
            told = isinstance(versions, dict) and all(isinstance(version, str) for version in versions.values())
            if not isinstance(kind, str) or not isinstance(config, dict) or not told:
                raise TypeError
            manifest = cls(kind, config, versions)
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error)[:160] if type(error) is ValueError else type(error).__name__
            raise RunFolderError(
                f"{where} is damaged ({reason}): give another folder with --out, or restore the file"
            ) from None
        if schema != SCHEMA_VERSION or isinstance(schema, bool):
            raise RunFolderError(
                f"{where} was written by another taskpoint (schema {shown(schema)}, this one writes {SCHEMA_VERSION}): "
                "give another folder with --out"
            )
        return manifest

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the settings: every part of rows holds it, and so notices when they are edited."""
        return digest_of({"kind": self.kind, "config": dict(self.config)})

    def differences(self, other: Manifest) -> tuple[str, ...]:
        """Settings that differ, as "key: here -> there", nested keys joined by dots; versions do not count."""
        here, there = _flat({"kind": self.kind, **self.config}), _flat({"kind": other.kind, **other.config})
        return tuple(
            f"{key}: {here.get(key, 'absent')} -> {there.get(key, 'absent')}"
            for key in sorted({*here, *there})
            if here.get(key, "absent") != there.get(key, "absent")
        )


def digest_of(said: object) -> str:
    """SHA-256 (hex) of JSON values, in whatever order their keys stand."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def as_json(config: Mapping[str, object]) -> dict[str, object]:
    """Settings as a file gives them back: tuples and sets as lists, paths as text; SettingError where JSON cannot."""

    def plain(value: object) -> object:
        if isinstance(value, PurePath):
            return str(value)
        if isinstance(value, set | frozenset):
            return sorted(value)
        raise TypeError(f"{type(value).__name__} {value!r:.60}")

    try:
        back: dict[str, object] = json.loads(json.dumps(dict(config), default=plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SettingError(f"a configuration holds what JSON cannot: {error}; give text, numbers or lists") from None
    return back


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False)
    return flat

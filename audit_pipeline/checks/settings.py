"""The `checks` section of the configuration: validated against the checks' own keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit_pipeline.checks.declare import Check
from audit_pipeline.checks.families import catalogue
from audit_pipeline.config import ChecksSection, misplaced_key
from audit_pipeline.declared import JSON_TYPES, Setting, fits
from audit_pipeline.errors import ConfigError
from audit_pipeline.registry import unknown_name


def validate_settings(settings: ChecksSection) -> None:
    """Refuse settings of unknown checks, unknown keywords, and values of the wrong type.

    Raises
    ------
    ConfigError
        One sentence per problem, with the path of the key, what was found, what is allowed and the nearest name.
    """
    checks = catalogue()
    known = [*checks, *(entry.mode.code for entry in checks.values())]
    problems = [
        f"checks.disable: {unknown_name('check', name, known)}" for name in settings.disable if name not in known
    ]
    for name, values in settings.overrides.items():
        if name not in checks:
            unknown = misplaced_key(name) or unknown_name("check", name, [*checks, "reference", "disable"])
            problems.append(f"checks.{name}: {unknown}")
        elif not isinstance(values, Mapping):
            problems.append(f"checks.{name}: needs a mapping of settings, found {values!r}")
        else:
            problems.extend(_problems(f"checks.{name}", checks[name], values))
    if problems:
        raise ConfigError("\n".join(problems))


def _problems(path: str, entry: Check, values: Mapping[Any, Any]) -> list[str]:
    problems = []
    for keyword, value in values.items():
        if keyword not in entry.defaults:
            problems.append(f"{path}.{keyword}: {unknown_name('setting', str(keyword), list(entry.defaults))}")
        elif not fits(value, entry.defaults[keyword]):
            wanted = JSON_TYPES[type(entry.defaults[keyword])]
            allowed = f"{wanted} not below 0" if wanted in {"integer", "number"} else wanted
            problems.append(f"{path}.{keyword}: needs a finite {allowed}, found {value!r}")
    return problems


def is_disabled(entry: Check, settings: ChecksSection) -> bool:
    """Tell whether the configuration switches the check off, by name or by code."""
    return entry.mode.name in settings.disable or entry.mode.code in settings.disable


def check_settings_schema() -> dict[str, Any]:
    """Return the JSON schema of the checks' settings: one object per check, one property per keyword argument."""
    return {
        name: {
            "type": "object",
            "title": f"{entry.mode.code} {entry.mode.title}",
            "description": entry.mode.sentence,
            "additionalProperties": False,
            "properties": {keyword: _property(default) for keyword, default in entry.defaults.items()},
        }
        for name, entry in catalogue().items()
    }


def _property(default: Setting) -> dict[str, Any]:
    kind = JSON_TYPES[type(default)]
    bound = {"minimum": 0} if kind in {"integer", "number"} else {}
    return {"type": kind, "default": default, **bound}

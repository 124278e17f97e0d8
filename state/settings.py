"""The user's settings: a TOML file with the theme, the keys, and the explorer's defaults.

``theme`` and ``ascii`` stand at the top; ``[keys]`` has an action and its key a line (``run = "f5"``), ``[defaults]``
an option of ``ckpt-tui explore`` and its value (``storage = "/mnt/nvme"``).
"""

import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from state.errors import SettingsError

ThemeName = Literal["dark", "light", "high-contrast", "terminal"]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people may set.

    Attributes:
        theme: Of the explorer.
        ascii: Draw bars and marks with plain characters.
        keys: Action -> key, or several separated by commas.
        defaults: Option of `ckpt-tui explore` without its dashes -> value, as on the command line.
    """

    theme: ThemeName = "dark"
    ascii: bool = False
    keys: dict[str, str] = {}
    defaults: dict[str, str | int | float | bool] = {}


def read_settings(
    path: Path, *, default_keys: Mapping[str, str], is_key: Callable[[str], bool], options: Collection[str]
) -> Settings:
    """Read the settings; none at all are fine.

    Args:
        path: The file.
        default_keys: Action -> its key as it comes: the names that `keys` may use.
        is_key: Whether a key has this name.
        options: Names that `defaults` may use.

    Raises:
        SettingsError: If the file cannot be read, or names what does not exist.
    """
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text()), Settings)
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"the settings in {path} cannot be used ({error})", "correct or remove the file") from None
    for table, names, known in (("keys", settings.keys, default_keys), ("defaults", settings.defaults, options)):
        for name in names:
            if name not in known:
                raise SettingsError(
                    f"the settings in {path} name {name!r} under [{table}]", f"choose from {', '.join(sorted(known))}"
                )
    owners: dict[str, str] = {}
    for action, keys in {**default_keys, **settings.keys}.items():
        for key in (part.strip() for part in keys.split(",")):
            if not is_key(key):
                raise SettingsError(
                    f"the settings in {path} give {action} the key {key!r}, which is none",
                    "write a character or a name, for example r, f5 or ctrl+r",
                )
            if key in owners:
                raise SettingsError(
                    f"the settings in {path} give the key {key!r} to {owners[key]} and to {action}",
                    "choose another key",
                )
            owners[key] = action
    return settings

from pathlib import Path

import pytest

from state.errors import SettingsError
from state.settings import Settings, read_settings
from tui.keys import is_key

KEYS = {"run": "r", "stop": "x"}
OPTIONS = ("storage", "repeats")


def read(path: Path) -> Settings:
    return read_settings(path, default_keys=KEYS, is_key=is_key, options=OPTIONS)


def test_no_file_is_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path / "settings.toml") == Settings()


def test_theme_keys_and_defaults_are_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('theme = "light"\nascii = true\n[keys]\nrun = "f5"\n[defaults]\nstorage = "/mnt"\nrepeats = 5\n')
    assert read(path) == Settings("light", True, {"run": "f5"}, {"storage": "/mnt", "repeats": 5})


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("theme = ", "Invalid value"),
        ('theme = "pink"', "theme"),
        ("colour = 1", "colour"),
        ('[keys]\njump = "j"', "'jump' under [keys]: choose from run, stop"),
        ('[keys]\nrun = "x"', "'x' to"),
        ('[keys]\nrun = "a,b"\nstop = "b"', "'b' to"),
        ('[defaults]\nsize = "1MB"', "'size' under [defaults]"),
        ('[keys]\nrun = ""', "give run the key ''"),
        ('[keys]\nrun = "f99"', "give run the key 'f99'"),
        ('[keys]\nrun = "ctrl+nosuch"', "give run the key 'ctrl+nosuch'"),
        ('[keys]\nrun = "[/"', "give run the key '[/'"),
        ("[keys]\nrun = 5", "`$.keys"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(content: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "r",
        "R",
        "?",
        "question_mark",
        "f24",
        "ctrl+r",
        "shift+tab",
        "pageup",
        "+",
        "ctrl++",
        "comma",
        "semicolon",
        "tilde",
        "minus",
        "ß",
    ],
)
def test_every_key_of_a_keyboard_may_be_taken(key: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f'[keys]\nrun = "{key}"')
    assert read(path).keys == {"run": key}


def test_keys_may_be_exchanged(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[keys]\nrun = "x"\nstop = "r"')
    assert read(path).keys == {"run": "x", "stop": "r"}

"""Pictures of every state that people meet, at three sizes, and of the themes."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from backends.methods import registry
from backends.methods.entries import Family, MethodEntry
from state.run.environment import FileSystem
from state.run.events import RunInterrupted, RunRefused
from state.run.records import Failure
from state.settings import Settings, ThemeName
from tests.tui.scripted import (
    METHODS,
    Script,
    explorer,
    failing,
    filled,
    fixed_request,
    held_in,
    settled,
    smooth,
    stalling,
)
from tui.widgets.method_table import MethodTable

SIZES = [(80, 24), (120, 36), (200, 60)]
Snap = Callable[..., bool]
Act = Callable[[Pilot[None]], Awaitable[None]]


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The storage is the working folder, whatever that is called and wherever it lies; no cursor blinks."""
    monkeypatch.setattr("textual.widgets.Input._toggle_cursor", lambda self: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("backends.process.machine_info.new_request", fixed_request)
    monkeypatch.setattr("backends.storage.folder.filesystem_of", lambda folder: FileSystem("ext4"))
    monkeypatch.setattr("backends.methods.help_page.metadata.version", lambda name: "1.0")
    monkeypatch.setattr("tui.explorer.app.data_folder", lambda: Path("/home/me/.local/share/ckpt-tui"))
    monkeypatch.setattr("tui.explorer.app.settings_file", lambda: Path("/home/me/.config/ckpt-tui/settings.toml"))
    monkeypatch.setattr("tui.screens.export.Path.cwd", lambda: Path("/home/me"))


def pressing(*keys: str) -> Act:
    """Press keys, and let what they start come to its end."""

    async def act(pilot: Pilot[None]) -> None:
        await filled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)

    return act


async def wrong_setup(pilot: Pilot[None]) -> None:
    await pressing("s")(pilot)
    pilot.app.screen.query_one("#model", Input).value = "nonesuch"
    pilot.app.screen.query_one("#repeats", Input).value = "0"
    await settled(pilot)


async def details_of_a_failure(pilot: Pilot[None]) -> None:
    await pressing("r")(pilot)
    pilot.app.screen.query_one(MethodTable).highlight("t5x")
    await pressing("i")(pilot)


NO_ROOM = RunRefused(Failure("/disk has 1.00 MB free and the run needs up to 139 MB", "free some space"))
DIED = RunInterrupted(Failure("the worker process died (SIGKILL)", "see the log"))

STATES: dict[str, tuple[Script, Act]] = {
    "first-start": (smooth, pressing()),
    "running": (held_in(6), pressing("r")),
    "finished": (smooth, pressing("r", "k")),
    "a-second-run-beside-the-first": (smooth, pressing("r", "c", "k", "r")),
    "a-cell-that-is-not-measured": (smooth, pressing("r", "c", "k")),
    "mixed": (failing("t5x"), pressing("r")),
    "all-failed": (failing(*METHODS), pressing("r")),
    "stopped": (held_in(6), pressing("r", "x")),
    "no-space": (lambda request: [NO_ROOM], pressing("r")),
    "quitting-a-run": (held_in(6), pressing("r", "q")),
    "speed-up-chart": (smooth, pressing("r", "v", "v", "v")),
    "log": (smooth, pressing("r", "l")),
    "setup": (smooth, pressing("s")),
    "wrong-setup": (smooth, wrong_setup),
    "export": (smooth, pressing("r", "e")),
    "details": (smooth, pressing("r", "i")),
    "details-of-a-failure": (failing("t5x"), details_of_a_failure),
    "help": (smooth, pressing("question_mark")),
    "why": (smooth, pressing("r", "w", "r")),
    "why-loads": (smooth, pressing("r", "w", "r", "v")),
    "why-size": (smooth, pressing("r", "w", "r", "v", "v")),
    "why-with-missing-cells": (smooth, pressing("r", "w")),
    "why-while-cells-are-measured": (held_in(6), pressing("r", "w")),
    "why-without-results": (smooth, pressing("w")),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", STATES)
def test_state(state: str, size: tuple[int, int], snap_compare: Snap) -> None:
    script, act = STATES[state]
    app, _ = explorer(Path(), script, repeats=3)
    assert snap_compare(app, terminal_size=size, run_before=act)


def many() -> dict[str, MethodEntry]:
    """As many methods as there may be, some of which cannot run here, whatever is installed."""
    families: dict[Family, tuple[str, ...]] = {
        "PyTorch": ("pytorch-tuned", "safetensors", "dcp", "dcp-async", "dcp-safetensors", "direct"),
        "TensorStore": tuple(f"{name}{suffix}" for name in ("zarr3", "ocdbt") for suffix in ("", "+compression")),
        "JAX": ("jax", "orbax", "orbax-async"),
        "other": tuple(f"another-{number}" for number in range(1, 7)),
    }
    own = registry.entries()
    found = {name: own[name] for name in METHODS}
    for family, names in families.items():
        requires = ("no_such_library",) if family == "JAX" else ()
        for name in names:
            found[name] = MethodEntry(
                name, "x_gone:Mine", f"{family} by {name}", family, requires, f"ckpt-tui[{family.lower()}]", "somebody"
            )
    return found


async def page_of_what_is_missing(pilot: Pilot[None]) -> None:
    await filled(pilot)
    pilot.app.screen.query_one(MethodTable).highlight("orbax")
    await pressing("enter")(pilot)


MANY: dict[str, Act] = {
    "first-start": pressing(),
    "presets": pressing("p", "down"),
    "filter": pressing("r", "slash", *"zarr"),
    "end-of-the-list": pressing("r", "end"),
    "page-of-what-is-missing": page_of_what_is_missing,
    "stall-chart": pressing("r", "v", "v", "v", "v"),
}


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", MANY)
def test_many_methods(state: str, size: tuple[int, int], snap_compare: Snap) -> None:
    methods = ("pytorch", "ts+chunks", "zarr3", "dcp", "dcp-async", "direct")
    app, _ = explorer(Path(), stalling("dcp-async"), entries=many(), methods=methods, repeats=3)
    assert snap_compare(app, terminal_size=size, run_before=MANY[state])


def test_many_methods_on_a_large_screen(snap_compare: Snap) -> None:
    app, _ = explorer(Path(), entries=many())
    assert snap_compare(app, terminal_size=(200, 60), run_before=pressing("r"))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_worker_starting(size: tuple[int, int], snap_compare: Snap) -> None:
    app, _ = explorer(Path(), held_in(0), idle=())
    assert snap_compare(app, terminal_size=size, run_before=pressing())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_worker_died(size: tuple[int, int], snap_compare: Snap) -> None:
    app, _ = explorer(Path(), idle=(DIED, DIED))
    assert snap_compare(app, terminal_size=size, run_before=pressing())


def test_too_small(snap_compare: Snap) -> None:
    app, _ = explorer(Path())
    assert snap_compare(app, terminal_size=(20, 5), run_before=pressing("r"))


@pytest.mark.parametrize("theme", ["light", "high-contrast", "terminal"])
def test_theme(theme: ThemeName, snap_compare: Snap) -> None:
    app, _ = explorer(Path(), failing("t5x"), settings=Settings(theme=theme), repeats=3)
    assert snap_compare(app, terminal_size=(120, 36), run_before=pressing("r", "k"))


def test_without_colours(snap_compare: Snap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app, _ = explorer(Path(), failing("t5x"), repeats=3)
    assert snap_compare(app, terminal_size=(120, 36), run_before=pressing("r", "k"))


def test_plain_characters(snap_compare: Snap) -> None:
    app, _ = explorer(Path(), held_in(6), settings=Settings(ascii=True), repeats=3)
    assert snap_compare(app, terminal_size=(120, 36), run_before=pressing("r", "k"))

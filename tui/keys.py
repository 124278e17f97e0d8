"""Everything that people can do in the explorer, with its key. Help, palette, footer and settings come from here."""

import re
import unicodedata
from typing import Final

from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS, Keys

#: The three switches share a place in the footer.
_TOGGLE: Final = Binding.Group("Toggle", compact=True)


def _binding(action: str, key: str, name: str, description: str, tooltip: str, *, footer: bool = False) -> Binding:
    group = _TOGGLE if action.startswith("app.flip") else None
    return Binding(key, action, description, show=footer, tooltip=tooltip, id=name, group=group)


#: In the order of the footer and of the help. The id is the name under which people rebind the key.
ACTIONS: Final = (
    _binding("app.run", "r", "run", "Run", "Measure the selected methods without a result, or all again", footer=True),
    _binding("app.stop", "x", "stop", "Stop", "Stop the run at once; what was measured stays", footer=True),
    _binding("app.flip('concurrency')", "c", "concurrency", "Concurrency", "Turn concurrency on or off", footer=True),
    _binding("app.flip('chunking')", "k", "chunking", "Chunking", "Turn large chunks on or off", footer=True),
    _binding("app.flip('compression')", "z", "compression", "Compression", "Turn compression on or off", footer=True),
    _binding("app.export", "e", "export", "Export", "Write CSV, PNG and other files", footer=True),
    _binding("chart", "v", "chart", "Chart", "Next chart: save time, load time, size, speed-up, stall", footer=True),
    _binding("app.why", "w", "why", "Why", "Which switch did what: the whole 2x2x2 experiment", footer=True),
    _binding(
        "app.history", "h", "history", "History", "Earlier runs: look, open, name, tag, compare, delete", footer=True
    ),
    _binding("app.help", "question_mark", "help", "Help", "What the screen shows, and every key", footer=True),
    _binding("app.quit", "q", "quit", "Quit", "Leave the explorer", footer=True),
    _binding("app.run_all", "R", "run-all", "Run all again", "Measure every selected method, measured or not"),
    _binding("app.select", "space", "select", "Select", "Take the highlighted method into the run, or out of it"),
    _binding("app.presets", "p", "presets", "Presets", "Select a group of methods: six, cells, a family, fastest"),
    _binding("search", "slash", "search", "Search", "Show only methods with these words in name, family or summary"),
    _binding("app.open", "enter", "open", "Run only this", "Measure only the highlighted method, or show its details"),
    _binding(
        "app.details", "i", "details", "Details", "Samples, costs, failure and help page of the highlighted method"
    ),
    _binding("app.step(-1)", "left", "smaller", "Smaller value", "Of the switch that was flipped last, or is focused"),
    _binding("app.step(1)", "right", "larger", "Larger value", "Of the switch that was flipped last, or is focused"),
    _binding("app.setup", "s", "setup", "Setup", "Model, storage, rounds and the values of the switches"),
    _binding("app.copy", "y", "copy", "Copy the command", "Copy the command line that does the same"),
    _binding("log", "l", "log", "Log", "Show or hide what happened"),
    _binding("app.theme", "t", "theme", "Theme", "Next theme: dark, light, high contrast, the terminal's own colours"),
    _binding("maximise", "m", "maximise", "Maximise", "Give the focused pane the whole screen, or take it back"),
    _binding("next_pane", "tab", "next-pane", "Next pane", "Go to the next pane"),
    _binding("previous_pane", "shift+tab", "previous-pane", "Previous pane", "Go to the previous pane"),
    _binding("app.command_palette", "ctrl+p", "commands", "Commands", "Find any action by its name"),
    _binding("app.suspend_process", "ctrl+z", "suspend", "Suspend", "Back to the shell; fg returns, and a run goes on"),
)
#: Action -> its key as it comes.
DEFAULT_KEYS: Final = {str(binding.id): binding.key for binding in ACTIONS}

_KEY: Final = re.compile(r"(?:(?:ctrl|shift|alt|super|hyper|meta)\+)*([a-z0-9_]{2,}|[^\s\[\]])")
#: f5, home, question_mark and the like, as Textual calls them.
_SIGNS: Final = tuple(
    unicodedata.name(sign).lower().replace("-", "_").replace(" ", "_") for sign in map(chr, range(32, 127))
)
_KEY_NAMES: Final = frozenset(
    (*(key.value.rpartition("+")[2] for key in Keys), *(KEY_NAME_REPLACEMENTS.get(name, name) for name in _SIGNS))
)


def is_key(key: str) -> bool:
    """Whether a terminal can send a key of this name: a character or a name, behind modifiers."""
    match = _KEY.fullmatch(key)
    return match is not None and (len(match[1]) == 1 or match[1] in _KEY_NAMES)


def borrowed(name: str, *, action: str = "", description: str = "") -> Binding:
    """An action's key for another screen, where it may do something of the same kind; it is rebound with it.

    Args:
        name: Of the action.
        action: What it does there, if that is something else.
        description: In the footer, likewise.
    """
    own = next(binding for binding in ACTIONS if binding.id == name)
    return Binding(own.key, action or own.action, description or own.description, id=name)

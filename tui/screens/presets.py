"""The groups of methods, to select one."""

from collections.abc import Collection, Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList


class Presets(ModalScreen[tuple[str, ...] | None]):
    """Gives back the methods of the group that was chosen, or None if none was.

    Args:
        groups: Name -> its methods.
        chosen: The methods that are selected now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,p", "close", "Close", show=False)]

    def __init__(self, groups: Mapping[str, tuple[str, ...]], chosen: Collection[str]) -> None:
        super().__init__(classes="dialog")
        self._groups = groups
        self._chosen = frozenset(chosen)

    def compose(self) -> ComposeResult:
        """A group an option: its name, how many methods, and which."""
        with Vertical(classes="box medium") as box:
            box.border_title = "Presets"
            box.border_subtitle = "enter selects exactly these · escape leave as it was"
            yield OptionList(*(self._option(name) for name in self._groups), id="presets", compact=True)

    def _option(self, name: str) -> Content:
        methods = self._groups[name]
        now = "  selected now" if self._chosen == frozenset(methods) else ""
        return Content.assemble(
            (f"{name:<20}", "bold"),
            (f"{len(methods):>2} {'method' if len(methods) == 1 else 'methods'}", "$primary"),
            (now, "$foreground 60%"),
            (f"\n{', '.join(methods)}", "$foreground 70%"),
        )

    def on_mount(self) -> None:
        """Begin at the group that is selected now, else at the first."""
        sets = [frozenset(methods) for methods in self._groups.values()]
        self.query_one(OptionList).highlighted = sets.index(self._chosen) if self._chosen in sets else 0

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(tuple(self._groups.values())[event.option_index])

    def action_close(self) -> None:
        """Leave everything as it was."""
        self.dismiss(None)

"""The groups of methods, to select one as a whole."""

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from backends.methods.groups import GROUPS
from tui.widgets.line_list import LineList


class Presets(ModalScreen[str | None]):
    """Gives back the name of a group, or None if the selection is to stay.

    Args:
        groups: Name of a group -> its methods; one without any cannot be chosen.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,p", "close", "Close", show=False)]

    def __init__(self, groups: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__(classes="dialog")
        self._groups = groups

    def compose(self) -> ComposeResult:
        """For each group what it is, and which methods."""
        with Vertical(classes="box large") as box:
            box.border_title = "Presets"
            box.border_subtitle = "enter selects exactly these · escape leave as it was"
            yield LineList(
                *(Option(self._words(name), id=name, disabled=not self._groups[name]) for name in self._groups),
                id="presets",
            )

    def _words(self, name: str) -> Content:
        methods = self._groups[name]
        told = ", ".join(methods) or "needs packages that are not installed: ckpt-tui methods says which"
        return Content.assemble(
            (f"{name:<20}", "bold"),
            (f"{len(methods):>2} {'method ' if len(methods) == 1 else 'methods'}  ", "$accent"),
            (f"{GROUPS.get(name, '')}\n", ""),
            (told, "$foreground 60%"),
        )

    def on_mount(self) -> None:
        """Begin at the first."""
        self.query_one(OptionList).highlighted = 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter, or a click."""
        event.stop()
        self.dismiss(event.option_id)

    def action_close(self) -> None:
        """Leave everything as it was."""
        self.dismiss()

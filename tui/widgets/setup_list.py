"""The setup at a glance: a line for each option that the pane shows."""

from typing import Final

from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList

from state.plan import FORM_OPTIONS, Plan
from tui.widgets.line_list import LineList

#: The options of the pane, each with what it shows of a plan.
_SHOWN: Final = tuple((option, pane) for option in FORM_OPTIONS if (pane := option.declared.pane) is not None)


class SetupList(LineList):
    """Lists the setup; a line that is chosen asks for its change."""

    class Chosen(Message):
        """Somebody wants to change the setup, beginning at a field."""

        def __init__(self, field: str) -> None:
            super().__init__()
            self.field = field

    def __init__(self) -> None:
        super().__init__(id="setup")

    def show(self, plan: Plan) -> None:
        """Draw the setup of a plan."""
        highlighted = self.highlighted
        self.set_options(
            Content.assemble((f"{option.declared.label:<9}", "$foreground 60%"), (pane(plan), ""))
            for option, pane in _SHOWN
        )
        self.highlighted = highlighted

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A line was chosen."""
        event.stop()
        option, _ = _SHOWN[event.option_index]
        self.post_message(self.Chosen(option.field))

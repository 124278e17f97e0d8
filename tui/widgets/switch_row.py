"""One optimization: a switch with a value."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from state.analysis.steps import Switch


class SwitchRow(Widget, can_focus=True):
    """A switch: its key, its name, a knob, and its value between two arrows.

    Args:
        switch: Which optimization.
        key: The key that flips it, for people.
        ascii_only: For terminals without box-drawing characters.
    """

    DEFAULT_CSS = """
    SwitchRow { height: 1; width: 1fr; }
    SwitchRow:focus { background: $block-cursor-background; color: $block-cursor-foreground; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,minus", "step(-1)", "Smaller value", show=False),
        Binding("right,plus,equals_sign", "step(1)", "Larger value", show=False),
        Binding("enter,space", "flip", "Flip", show=False),
        Binding("up", "app.focus_previous", "Previous switch", show=False),
        Binding("down", "app.focus_next", "Next switch", show=False),
    ]

    on: reactive[bool] = reactive(False)
    """Whether the optimization is on."""

    value: reactive[str] = reactive("")
    """Its value where it is on, as on the command line."""

    class Flipped(Message):
        """Somebody flipped the switch."""

        def __init__(self, switch: Switch) -> None:
            super().__init__()
            self.switch = switch

    class Stepped(Message):
        """Somebody asked for the next larger (1) or smaller (-1) value."""

        def __init__(self, switch: Switch, step: int) -> None:
            super().__init__()
            self.switch = switch
            self.step = step

    def __init__(self, switch: Switch, key: str, *, ascii_only: bool) -> None:
        super().__init__(id=f"switch-{switch}")
        self._switch: Switch = switch
        self._key = key
        self._knobs = ("--o on ", "o-- off") if ascii_only else ("━━● on ", "●━━ off")
        self._arrows = ("<", ">") if ascii_only else ("‹", "›")
        self.tooltip = "click or press its key to flip; left and right change the value"

    def render(self) -> Content:
        """The line."""
        left, right = self._arrows
        return Content.assemble(
            (f"{self._key} ", "bold $footer-key-foreground"),
            f"{self._switch.capitalize():<12}",
            (self._knobs[not self.on], "bold $success" if self.on else "$foreground 60%"),
            (f" {left}", "$primary"),
            (self.value, "bold" if self.on else "$foreground 60%"),
            (right, "$primary"),
        )

    def on_click(self, event: events.Click) -> None:
        """The arrows step, everything else flips."""
        position = event.get_content_offset(self)
        start = len(self._key) + 1 + 12 + len(self._knobs[0]) + 1
        if position is not None and position.x == start:
            self.action_step(-1)
        elif position is not None and position.x > start + len(self.value):
            self.action_step(1)
        else:
            self.action_flip()

    def action_flip(self) -> None:
        """Flip it."""
        self.post_message(self.Flipped(self._switch))

    def action_step(self, step: int) -> None:
        """Change the value."""
        self.post_message(self.Stepped(self._switch, step))

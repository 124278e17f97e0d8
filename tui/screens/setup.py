"""The setup: what is measured, where, and by which rules."""

from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Button, Input, Label, Select, Static

from backends.models.architectures import architectures
from state.plan import Plan
from tui.background import aside
from tui.setup_fields import Field, fields, read_form


class Setup(ModalScreen[Plan | None]):
    """A form; gives back the new plan, or None if nothing is to change.

    Args:
        plan: What it starts with.
        focus: Name of the field to begin at.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", show=False),
        Binding("ctrl+s", "apply", "Apply", show=False),
    ]

    def __init__(self, plan: Plan, focus: str = "model") -> None:
        super().__init__(classes="dialog")
        self._plan = plan
        self._first = focus
        self._fields = fields()

    def compose(self) -> ComposeResult:
        """One row a field: label, control, and below it what it is for or what is wrong."""
        with Vertical(classes="box large") as box:
            box.border_title = "Setup"
            box.border_subtitle = "tab next field · ctrl+s apply · escape leave as it was"
            with VerticalScroll(can_focus=False):
                for field in self._fields:
                    with Horizontal(classes="field"):
                        yield Label(field.label)
                        yield self._control(field)
                    yield Static(
                        field.fixed or field.explanation, id=f"note-{field.name}", classes="note", markup=False
                    )
            with Horizontal(classes="buttons"):
                yield Button("Apply", id="apply", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def _control(self, field: Field) -> Input | Select[str]:
        value = field.write(self._plan)
        if not field.choices:
            names = list(architectures()) if field.name == "model" else []
            suggester = SuggestFromList(names) if names else None
            return Input(value, id=field.name, compact=True, suggester=suggester, select_on_focus=False)
        choices = [(words, choice) for choice, words in field.choices]
        if value not in [choice for choice, _ in field.choices]:
            choices.append((f"{value} (not here)", value))
        return Select(choices, value=value, id=field.name, allow_blank=False, compact=True, disabled=len(choices) == 1)

    def on_mount(self) -> None:
        """Begin where the user came from."""
        self.query_one(f"#{self._first}").focus()

    def _typed(self, *names: str) -> dict[str, str]:
        """What stands in these fields, or in all."""
        form = {control.id: control.value for control in self.query(Input) if control.id}
        form |= {select.id: str(select.value) for select in self.query(Select) if select.id}
        return {name: form[name] for name in names or form if name in form}

    async def _read(self, typed: dict[str, str]) -> tuple[Plan, dict[str, str]]:
        """The plan with these fields. A storage may take long to answer."""
        return await aside(partial(read_form, typed, self._plan))

    @on(Input.Changed)
    @on(Select.Changed)
    def _changed(self, event: Input.Changed | Select.Changed) -> None:
        """Say beside a field what is wrong with it."""
        name = str(event.control.id)
        # Whether a size makes sense depends on the model.
        names = ("model", "size_bytes") if name in ("model", "size_bytes") else (name,)
        self._check(names)

    @work(group="check")
    async def _check(self, names: tuple[str, ...]) -> None:
        typed = self._typed(*names)
        _, errors = await self._read(typed)
        if not typed or typed != self._typed(*names):  # the form is closed, or somebody goes on typing
            return
        for field in self._fields:
            if field.name in names:
                note = self.query_one(f"#note-{field.name}", Static)
                error = errors.get(field.name, "")
                note.update(error or field.fixed or field.explanation)
                note.set_class(bool(error), "-error")

    @on(Input.Submitted)
    @on(Button.Pressed, "#apply")
    @work(exclusive=True, group="apply")
    async def action_apply(self) -> None:
        """Take it, unless something is wrong."""
        plan, errors = await self._read(self._typed())
        if self.app.screen is not self:  # it was closed, or there is something else to read first
            return
        if errors:
            self.query_one(f"#{next(iter(errors))}").focus()
            self.app.bell()
            return
        self.dismiss(plan)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        """Leave everything as it was."""
        self.dismiss(None)

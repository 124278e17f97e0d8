"""Write what is on the screen to files."""

import asyncio
from pathlib import Path
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from backends.storage.folder import user_path
from state.errors import CkptTuiError, ExportError
from state.export.files import check_export, write_export
from state.run.records import Run
from tui.widgets.checkbox import Tick

#: Suffix -> what it holds, and whether it is written unless told otherwise.
KINDS: Final = {
    ".csv": ("a row per method and operation", True),
    ".samples.csv": ("a row per trial", False),
    ".png": ("four panels", True),
    ".svg": ("four panels, scalable", False),
    ".json": ("everything", False),
    ".md": ("a table for a report", False),
    ".screen.svg": ("this screen as it looks", False),
}


def _here() -> str:
    """The working folder, or the home where that was deleted."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return str(Path.home())


class Export(ModalScreen[None]):
    """Which files, where to; then what was written.

    Args:
        run: The results.
        screenshot: The explorer's screen as SVG.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "Close", show=False)]

    def __init__(self, run: Run, screenshot: str) -> None:
        super().__init__(classes="dialog")
        self._run = run
        self._screenshot = screenshot

    def compose(self) -> ComposeResult:
        """Folder, name, kinds, and the outcome."""
        with Vertical(classes="box medium") as box:
            box.border_title = "Export"
            box.border_subtitle = "space choose · enter write · escape close"
            with VerticalScroll(can_focus=False):
                with Horizontal(classes="field"):
                    yield Label("Folder")
                    yield Input(_here(), id="folder", compact=True, select_on_focus=False)
                with Horizontal(classes="field"):
                    yield Label("Name")
                    yield Input(f"ckpt-tui-{self._run.run_id}", id="stem", compact=True, select_on_focus=False)
                for number, (suffix, (words, chosen)) in enumerate(KINDS.items()):
                    yield Tick(f"{suffix:<13} {words}", chosen, id=f"kind-{number}", compact=True)
                yield Tick("replace files that exist", False, id="overwrite", compact=True)
                yield Static("", id="outcome", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Write", id="write", variant="primary", compact=True)
                yield Button("Close", id="close", compact=True)

    def on_mount(self) -> None:
        """Enter writes what is chosen."""
        self.query_one("#write").focus()
        self._check()

    def _targets(self) -> list[Path]:
        folder = user_path(self.query_one("#folder", Input).value.strip() or ".")
        stem = self.query_one("#stem", Input).value.strip()
        suffixes = [s for n, s in enumerate(KINDS) if self.query_one(f"#kind-{n}", Tick).value]
        return [folder / f"{stem}{suffix}" for suffix in suffixes]

    def _refusal(self) -> str:
        """Why nothing can be written as it stands, or an empty text."""
        if not self.query_one("#stem", Input).value.strip():
            return "give the files a name"
        try:
            targets = self._targets()
            if not targets:
                return "choose at least one kind of file"
            for path in targets:
                check_export(path, overwrite=self.query_one("#overwrite", Tick).value)
        except CkptTuiError as error:
            return str(error).replace("allow it with --overwrite", "choose to replace it")
        return ""

    @on(Input.Changed)
    @on(Tick.Changed)
    def _check(self) -> None:
        self._say(self._refusal(), failed=True)

    def _say(self, text: str, *, failed: bool) -> None:
        outcome = self.query_one("#outcome", Static)
        outcome.update(text)
        outcome.set_class(failed, "-error")

    @on(Input.Submitted)
    @on(Button.Pressed, "#write")
    def _start(self) -> None:
        refusal = self._refusal()
        if refusal:
            self.app.bell()
            self._say(refusal, failed=True)
            return
        self._write(self._targets(), self.query_one("#overwrite", Tick).value)

    @work(exclusive=True)
    async def _write(self, targets: list[Path], overwrite: bool) -> None:
        self._say("writing …", failed=False)
        lines, failed = [], False
        for path in targets:
            try:
                await asyncio.to_thread(self._write_one, path, overwrite)
                lines.append(f"wrote {path}")
            except (ExportError, OSError) as error:
                failed = True
                lines.append(str(error))
        self._say("\n".join(lines), failed=failed)
        self.query_one("#close").focus()

    def _write_one(self, path: Path, overwrite: bool) -> None:
        if path.name.endswith(".screen.svg"):
            check_export(path, overwrite=overwrite).write_text(self._screenshot)
        else:
            write_export(self._run, path, overwrite=overwrite)

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        """Back."""
        self.dismiss()

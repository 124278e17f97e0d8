"""Make the README's screenshot from a real run: python docs/screenshot.py --storage DIR.

The explorer runs without a terminal, measures the six methods on the demo model, and draws itself as SVG.
"""

import asyncio
from pathlib import Path

import click

from backends.methods import registry
from backends.storage.folder import check_storage
from state.plan import Plan
from state.settings import Settings, ThemeName
from tui.explorer.app import ExplorerApp
from tui.explorer.themes import THEME_NAMES


async def take(app: ExplorerApp, columns: int, lines: int) -> str:
    """Run the six methods, flip chunking, and draw."""
    async with app.run_test(size=(columns, lines)) as pilot:
        await pilot.press("r")
        while (run := app.explorer.session.run) is None or run.status == "running":
            await pilot.pause(0.5)
        await pilot.press("k")
        await pilot.pause(0.5)
        picture = app.export_screenshot(title="ckpt-tui")
        await app._leaving.leave()
    return picture


@click.command()
@click.option("--storage", type=click.Path(path_type=Path, exists=True), default=Path(), help="Folder on a disk.")
@click.option("--output", type=click.Path(path_type=Path), default=Path(__file__).parent / "explorer.svg")
@click.option("--columns", default=120, show_default=True)
@click.option("--lines", default=36, show_default=True)
@click.option("--size-bytes", type=int, help="Of the demo model.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--theme", type=click.Choice(THEME_NAMES), default="dark", show_default=True)
def main(
    storage: Path, output: Path, columns: int, lines: int, size_bytes: int | None, repeats: int, theme: ThemeName
) -> None:
    """Write the screenshot."""
    plan = Plan(storage=str(check_storage(storage)), size_bytes=size_bytes, repeats=repeats)
    app = ExplorerApp(plan, registry.entries(), Settings(theme=theme))
    output.write_text(asyncio.run(take(app, columns, lines)))


if __name__ == "__main__":
    main()

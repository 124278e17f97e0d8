"""What is added in one place is everywhere: an option of a plan, and a method of ours."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: All that it takes to have an option.
OPTION = """
    toys: Annotated[
        int,
        Declaration(
            "--toys",
            "rules",
            "How many toys.",
            WHOLE,
            label="Toys",
            note="as many as there are",
            pane=lambda plan: f"{plan.toys} toys",
        ),
    ] = 3
"""
#: All that it takes to have a method.
METHOD = '''
"""A toy."""

from backends.methods.entries import method
from backends.methods.pytorch.torch_save import PyTorch


@method("toy", "like pytorch, for fun", "PyTorch")
class Toy(PyTorch):
    """A toy."""
'''
ASK_ABOUT_OPTION = """
import asyncio, sys
from click.testing import CliRunner
from backends.methods import registry
from backends.process.machine_info import new_request
from state.analysis.combine import comparable
from state.command_line import run_command
from state.history.store import History
from state.live.session import Session, reduce
from state.plan import Plan
from state.settings import Settings
from tui.cli.main import cli
from tui.cli.preferences import to_explore
from tui.explorer.app import ExplorerApp
from tui.setup_fields import fields, read_form

storage = sys.argv[1]
for command in ("run", "explore", "aa"):
    assert "--toys INTEGER" in CliRunner().invoke(cli, [command, "--help"]).output, command
for command in ("run", "explore", "serve"):
    refused = CliRunner().invoke(cli, [command, "--toys", "many"])
    assert "--toys" in refused.output and refused.exit_code == 2, refused.output

plan = Plan(storage=storage, toys=5)
assert "--toys 5" in run_command(plan) and "--toys" not in run_command(Plan())
(field,) = [field for field in fields() if field.name == "toys"]
assert (field.label, field.write(plan), field.explanation) == ("Toys", "5", "as many as there are")
assert read_form({"toys": "7"}, plan)[0].toys == 7 and read_form({"toys": "x"}, plan)[1].keys() == {"toys"}

explore = cli.get_command(None, "explore")
with explore.make_context("explore", ["--storage", storage]) as context:
    options = {name: value for name, value in context.params.items() if name != "plain"}
    assert to_explore(context, options)[0].toys == 9, "as the settings say"

run = reduce(Session(), new_request(plan)).run
with History() as history:
    history.keep(run)
    assert history.get(run.run_id).plan.toys == 5
assert not comparable(run, Plan(storage=storage), "pytorch"), "another rule is another table"


async def look():
    app = ExplorerApp(plan, registry.entries(), Settings())
    async with app.run_test(size=(120, 36)) as pilot:
        async with asyncio.timeout(60):
            while not app.query("#setup"):
                await pilot.pause()
        for _ in range(3):
            await pilot.pause()
        shown = [str(option.prompt) for option in app.query_one("#setup").options]
        assert "Toys     5 toys" in shown, shown

asyncio.run(look())
"""
ASK_ABOUT_METHOD = """
import sys
from click.testing import CliRunner
from backends.methods import registry
from state.plan import Plan
from tui.cli.main import cli

assert registry.entries()["toy"].summary == "like pytorch, for fun"
assert type(registry.create("toy", Plan())).__name__ == "Toy"
assert "toy" in CliRunner().invoke(cli, ["methods"]).output
options = ["--methods", "toy", "--storage", sys.argv[1], "--size", "20MiB", "--repeats", "1"]
done = CliRunner().invoke(cli, ["run", *options])
assert done.exit_code == 0 and "verified" in done.output, done.output
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of ours, to build on."""
    for package in ("state", "backends", "tui"):
        shutil.copytree(ROOT / package, tmp_path / "house" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "house"


def ask(house: Path, code: str, storage: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(storage)],
        cwd=house,
        env=os.environ | {"PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_an_option_is_declared_in_one_place_and_is_in_all_of_them(house: Path, storage: Path) -> None:
    plan = house / "state" / "plan.py"
    before, mark, after = plan.read_text().partition("\n    def __post_init__")
    assert mark
    plan.write_text(before + OPTION + mark + after)
    settings = Path(os.environ["XDG_CONFIG_HOME"]) / "ckpt-tui" / "settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("[defaults]\ntoys = 9\n")
    ask(house, ASK_ABOUT_OPTION, storage)


def test_a_method_is_one_file(house: Path, storage: Path) -> None:
    (house / "backends" / "methods" / "toy.py").write_text(METHOD.lstrip())
    ask(house, ASK_ABOUT_METHOD, storage)

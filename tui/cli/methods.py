"""`ckpt-tui methods`: which there are, and everything about one."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import click
import msgspec
from rich import box
from rich.markup import escape
from rich.table import Table

from backends.methods import registry
from backends.methods.capabilities import Ability, ability
from backends.methods.entries import MethodEntry
from backends.methods.groups import groups
from backends.methods.help_page import page, summary
from backends.methods.registry import taken_names
from state.errors import UnavailableError
from state.export.json import pretty
from state.method_names import expand_methods
from state.optimizations import CELLS, FORMATS
from tui.cli.output import json_format_option, standard_output
from tui.cli.report import standard_console

#: Lines of prose are no longer than that, however wide the terminal is.
_LINE_WIDTH: Final = 100


@click.command()
@click.argument("name", required=False)
@json_format_option
def methods(name: str | None, output: str) -> int:
    """List the methods by family, or those of the group NAME, or explain the method NAME.

    A method's page says what it does, its defaults, how true it is to upstream, and how to use it in your own code.

    What NAME can do (devices, dtypes, asynchronous or not) is asked of a process that imports its library.
    """
    entries = registry.entries()
    if name is None:
        with standard_output():
            if output == "json":
                _print_json([_document(entry) for entry in entries.values()])
            else:
                _print_list(entries)
        return 0
    if (members := groups(entries).get(name)) is not None:
        with standard_output():
            if output == "json":
                _print_json([_document(entries[member]) for member in members])
            else:
                _print_list({member: entries[member] for member in members})
        return 0
    if name not in entries:
        expand_methods(name, entries, groups(entries))  # says what else there is
    entry = entries[name]
    can: Ability | None = None
    why = entry.unavailable
    if why is None:
        try:
            can = ability(name)
        except UnavailableError as error:
            why = error.what
    with standard_output():
        if output == "json":
            _print_json({**_document(entry), "unavailable": why, "ability": can, "page": page(entry)})
        else:
            lines = [page(entry), "", *(_ability_lines(can) if can is not None else ())]
            if can is None and entry.unavailable is None:  # otherwise the page says it
                lines.append(f"CANNOT RUN HERE\n    {why}")
            console = standard_console()
            console.width = min(console.width, _LINE_WIDTH)
            console.print("\n".join(lines).rstrip(), markup=False, highlight=False)
    return 0


def _document(entry: MethodEntry) -> dict[str, Any]:
    return {**msgspec.structs.asdict(entry), "unavailable": entry.unavailable}


def _print_json(document: object) -> None:
    sys.stdout.write(pretty(document).decode())


def _print_list(entries: Mapping[str, MethodEntry]) -> None:
    """A table with a part for each family; on is a filled circle."""
    table = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    table.add_column("method", no_wrap=True)
    table.add_column("c k z", no_wrap=True)
    table.add_column("what it does")
    for family in dict.fromkeys(entry.family for entry in entries.values()):
        table.add_section()
        table.add_row(f"[bold]{family}[/]")
        for entry in entries.values():
            if entry.family == family:
                table.add_row(f"  {entry.name}", _marks(entry.name), escape(f"{summary(entry)}{_lack(entry)}"))
    console = standard_console()
    console.print(table)
    words = (
        "c concurrency, k chunking, z compression: ● on, · off. Their values where on: --concurrency, --chunk-size, "
        "--codec.",
        *(f"Left out: {why}." for why in taken_names()),
        f"Groups for --methods: {_group_words(groups(entries).items())}.",
        "ckpt-tui methods NAME explains one, and how to use it in your own code.",
    )
    console.print(*words, sep="\n", markup=False, highlight=False)


def _marks(name: str) -> str:
    switches = CELLS.get(name) or FORMATS.get(name)
    return " ".join("●" if on else "·" for on in switches) if switches else ""


def _lack(entry: MethodEntry) -> str:
    return f" (unavailable: it {entry.unavailable})" if entry.unavailable else ""


def _group_words(found: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    return ", ".join(f"{group} ({len(members)})" for group, members in found)


def _ability_lines(can: Ability) -> Iterable[str]:
    yield "WHAT IT CAN DO"
    yield f"    devices: {', '.join(can.devices)}"
    yield f"    dtypes: {', '.join(can.dtypes) if can.dtypes is not None else 'all'}"
    yield f"    asynchronous: {'yes, training goes on before the checkpoint is written' if can.asynchronous else 'no'}"
    yield f"    syncs its files itself: {'yes' if can.syncs_itself else 'no, we do, under the clock'}"
    yield f"    loads lazily: {'yes, and is read through, under the clock' if can.lazy_load else 'no'}"

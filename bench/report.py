"""What stands above the figures of a bench that is kept: the command, the machine, the versions."""

from pathlib import Path

from state.environment import Environment
from state.units import format_bytes


def where(environment: Environment) -> list[str]:
    """The machine and the versions, without names and paths of its owner."""
    size = format_bytes(environment.memory_bytes) if environment.memory_bytes is not None else "unknown"
    file_system = environment.filesystem
    libraries = (f"{name} {version}" for name, version in environment.libraries.items())
    return [
        f"{environment.system} · {environment.cpu} · {environment.cores} cores · {size} of memory",
        f"{file_system.type} ({', '.join(file_system.options)})",
        f"Python {environment.python} · {' · '.join(libraries)}",
    ]


def keep(text: str, folder: Path, name: str) -> None:
    """Write a report into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)

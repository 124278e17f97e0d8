"""What a method can do, asked of a short-lived process, so that whoever wants to know needs no library."""

import subprocess
import sys

import msgspec

from state.errors import UnavailableError

#: Importing torch from a cold disk takes longer than one thinks.
_TIMEOUT_S = 120.0


class Ability(msgspec.Struct, frozen=True):
    """What a method can do: `backends.methods.base.Capabilities` for readers without its libraries.

    Attributes:
        devices: Kinds of devices that it saves from and loads to.
        dtypes: torch names of the dtypes that it keeps; None for all.
        syncs_itself: Whether its save syncs what it writes; else we do, under the clock.
        lazy_load: Whether the library's load maps the file, which is then read through under the clock.
        asynchronous: Whether training goes on before the checkpoint is written.
    """

    devices: tuple[str, ...]
    dtypes: tuple[str, ...] | None
    syncs_itself: bool
    lazy_load: bool
    asynchronous: bool


def ability(name: str) -> Ability:
    """Ask a short-lived process.

    Raises:
        UnavailableError: If the method cannot be made there.
    """
    command = [sys.executable, "-P", "-m", "backends.methods.tell_capabilities", name]
    try:
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False)
        return msgspec.json.decode(asked.stdout.splitlines()[-1], type=Ability)  # a library may have said something
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{name} is not imported within {_TIMEOUT_S:g} s", "try again, or repair it") from None
    except (IndexError, msgspec.MsgspecError):
        reason = asked.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise UnavailableError(f"{name} cannot be asked what it can do ({reason})", "repair it") from None

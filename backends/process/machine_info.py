"""Look at the machine: the record that goes with every run. A probe that fails leaves its field empty."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import secrets
import sys
from pathlib import Path
from typing import Final

from backends.resources import memory_bytes, usable_cores
from backends.storage.cold_proof import kept_below
from backends.storage.folder import filesystem_of
from backends.storage.pagecache import can_drop_caches
from state.plan import Plan
from state.run.environment import Environment
from state.run.events import RunRequested

_LIBRARIES: Final = (
    "ckpt-tui",
    "torch",
    "tensorstore",
    "jax",
    "orbax-checkpoint",
    "transformers",
    "safetensors",
    "numpy",
    "ml-dtypes",
)
#: Prefixes of variables that change threads, allocators or input and output of the libraries.
_PREFIXES: Final = ("OMP_", "MKL_", "OPENBLAS_", "TENSORSTORE_", "TORCH_", "PYTORCH_", "CUDA_", "MALLOC_", "LD_PRELOAD")
_CPUINFO: Final = Path("/proc/cpuinfo")
#: numpy's BLAS would start a thread per core at import; no trial computes with it, and a worker must not have threads.
WORKER_VARIABLES: Final = {"OPENBLAS_NUM_THREADS": "1"}


def environment(storage: Path) -> Environment:
    """The record for a run that writes to `storage`, in a worker with `WORKER_VARIABLES`."""
    variables = os.environ | WORKER_VARIABLES
    return Environment(
        hostname=platform.node(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu(),
        cores=usable_cores(),
        memory_bytes=memory_bytes(),
        python=platform.python_version(),
        libraries={name: version for name in _LIBRARIES if (version := _version(name))},
        storage=_text(str(storage.resolve())),
        filesystem=filesystem_of(storage),
        variables={name: _text(value) for name, value in sorted(variables.items()) if name.startswith(_PREFIXES)},
        can_drop_caches=can_drop_caches(),
        cache_below=_cache_below(storage),
    )


def new_request(plan: Plan) -> RunRequested:
    """A request to measure a plan here and now, under a name of its own that sorts by time."""
    now = datetime.datetime.now(datetime.UTC)
    run_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    return RunRequested(run_id, now.isoformat(timespec="seconds"), plan, environment(Path(plan.storage)))


def _cache_below(storage: Path) -> str:
    """What may serve loads from memory although this system's page cache is dropped; empty if nothing is known to."""
    with contextlib.suppress(OSError):
        return kept_below(storage, caches_dropped=can_drop_caches())
    return ""


def _text(value: str) -> str:
    """What the system says, with a mark in the place of bytes that are no UTF-8: the record must be writable."""
    return value.encode(errors="surrogateescape").decode(errors="replace")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    if sys.platform == "linux" and _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()

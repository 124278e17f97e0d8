"""The record of where a run happened, and the advice that follows from it."""

import msgspec

from state.model import Model
from state.plan import Plan
from state.units import MIB, format_bytes


class FileSystem(msgspec.Struct, frozen=True):
    """The file system that holds a folder.

    Attributes:
        type: Its name: ``ext4``, ``tmpfs``.
        mount_point: Where it is mounted.
        source: The device or export behind it.
        options: Mount options, as the system lists them.
    """

    type: str = "unknown"
    mount_point: str = ""
    source: str = ""
    options: tuple[str, ...] = ()


class Environment(msgspec.Struct, frozen=True):
    """Host, libraries and settings that change results. A probe that found nothing leaves an empty text or None.

    Attributes:
        hostname: The machine's name.
        system: Kernel name, release and architecture.
        cpu: Model of the processor.
        cores: Logical processors that this process may use.
        memory_bytes: Physical memory.
        python: Version of Python.
        libraries: Versions of the libraries that take part.
        storage: Absolute path of the storage folder.
        filesystem: The file system there.
        variables: Environment variables that change how the libraries run.
        can_drop_caches: Whether the whole page cache may be dropped before a cold load.
    """

    hostname: str = ""
    system: str = ""
    cpu: str = ""
    cores: int | None = None
    memory_bytes: int | None = None
    python: str = ""
    libraries: dict[str, str] = {}
    storage: str = ""
    filesystem: FileSystem = FileSystem()
    variables: dict[str, str] = {}
    can_drop_caches: bool = False


_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}
_LAYERED = {"overlay", "aufs", "fuse-overlayfs"}
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "glusterfs", "lustre", "beegfs", "fuse.sshfs"}
_COMPRESSING = {"zfs", "squashfs", "erofs"}
_SYNC_KILLERS = ("eatmydata", "nosync", "libnosync", "nofsync")
SMALL_MODEL_BYTES = 32 * MIB


def advice(environment: Environment, plan: Plan, model: Model | None = None) -> tuple[str, ...]:
    """Sentences about what makes this run's numbers mean less than they seem to. They belong beside the numbers."""
    filesystem = environment.filesystem
    where = f"{environment.storage} is on {filesystem.type}"
    sentences: list[str] = []
    if filesystem.type in _IN_MEMORY:
        sentences.append(f"{where}: this measures memory, not a disk. Choose a --storage folder on the disk you use.")
    if filesystem.type in _LAYERED:
        sentences.append(f"{where}, a layered file system: a mounted volume gives the disk's own numbers.")
    if filesystem.type in _NETWORK:
        sentences.append(f"{where}, a network file system: server and network are part of every number.")
    compress = any(option.startswith("compress") for option in filesystem.options)
    if filesystem.type in _COMPRESSING or compress:
        sentences.append(f"{where}, which may compress by itself: sizes and the worth of codecs are distorted.")
    preload = environment.variables.get("LD_PRELOAD", "")
    if any(name in preload for name in _SYNC_KILLERS):
        sentences.append(f"LD_PRELOAD={preload} turns syncing off: durable times are not durable.")
    if plan.durability == "buffered":
        sentences.append("Saves are buffered: no time includes reaching the disk, and none survives a power cut.")
    if plan.cache == "warm":
        sentences.append("Loads are warm: they come from memory and say nothing about the disk.")
    if plan.cache == "cold" and not environment.can_drop_caches:
        sentences.append(
            "Only the checkpoint's pages are dropped before a cold load; directory entries may stay in memory, "
            "which favours methods with many files (run as root to drop those too)."
        )
    if model is not None and model.logical_bytes < SMALL_MODEL_BYTES:
        sentences.append(
            f"The model has only {format_bytes(model.logical_bytes)}: fixed costs dominate. "
            f"Choose one of at least {format_bytes(SMALL_MODEL_BYTES)}."
        )
    return tuple(sentences)

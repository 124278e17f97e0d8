"""The record of where a run happened."""

from typing import Final

import msgspec

_IN_MEMORY: Final = frozenset(("tmpfs", "ramfs", "devtmpfs"))
_NETWORK: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "fuse.sshfs")
)


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

    @property
    def is_in_memory(self) -> bool:
        """Whether there is no disk behind it."""
        return self.type in _IN_MEMORY

    @property
    def is_network(self) -> bool:
        """Whether other machines may have it, too."""
        return self.type in _NETWORK


class Environment(msgspec.Struct, frozen=True):
    """Host, libraries and settings that change results. A probe that found nothing leaves an empty text or None.

    Attributes:
        hostname: The machine's name.
        system: Kernel name, release and architecture.
        cpu: Model of the processor.
        cores: Logical processors that this process may use.
        memory_bytes: Memory that this process may use at most: the machine's, or its control group's.
        python: Version of Python.
        libraries: Versions of the libraries that take part.
        storage: Absolute path of the storage folder.
        filesystem: The file system there.
        variables: Environment variables that change how the libraries run.
        can_drop_caches: Whether the whole page cache may be dropped before a cold load.
        cache_below: What may serve loads from memory all the same, as part of a sentence; empty if nothing is known to.
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
    cache_below: str = ""

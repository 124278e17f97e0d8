"""The record of where a run happened."""

import msgspec


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

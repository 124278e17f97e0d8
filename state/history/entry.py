"""A run in a list of runs."""

from collections.abc import Collection

import msgspec

from state.model import Model
from state.process_identity import Owner
from state.run.environment import Environment
from state.run.records import RunStatus


class RunEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a list.

    Attributes:
        run_id: Its unique name.
        created_at: When it started, in ISO 8601.
        status: How far it has come; one whose program was killed is cancelled.
        name: What people call it; empty if they do not.
        tags: In alphabetical order.
        baseline: Whether it is the one that others are compared with.
        model: What was asked for: a preset, a path, a hub id.
        model_bytes: Bytes of the tensors; None if the run never came to know them.
        storage: The folder that was measured.
        filesystem: The type of its file system.
        device: Where the tensors lived.
        memory: Whether it was to be at hand for every trial, or left as found.
        methods: That were measured.
        rounds: How often each.
        hostname: The machine.
        trials: How many there were to be.
        done: How many of them were measured.
        failed: How many of them failed.
    """

    run_id: str
    created_at: str
    status: RunStatus
    name: str
    tags: tuple[str, ...]
    baseline: bool
    model: str
    model_bytes: int | None
    storage: str
    filesystem: str
    device: str
    memory: str
    methods: tuple[str, ...]
    rounds: int
    hostname: str
    trials: int
    done: int
    failed: int

    @property
    def title(self) -> str:
        """Its name, or else its id."""
        return self.name or self.run_id

    def matches(self, words: Collection[str]) -> bool:
        """Whether each of these words, in lower case, occurs in what is known of the run."""
        known = (self.run_id, self.name, *self.tags, self.model, self.storage, self.filesystem, self.device)
        status = {"cancelled": "cancelled stopped"}.get(self.status, self.status)  # people see the second
        memory = "memory as found" * (self.memory == "as-found")
        text = " ".join((*known, *self.methods, self.hostname, status, memory, "failed" * bool(self.failed))).lower()
        return all(word in text for word in words)


class _Asked(msgspec.Struct):
    """What a list shows of a plan. It is read without the plan's checks: a list shows whatever is there."""

    model: str = ""
    storage: str = ""
    device: str = ""
    memory: str = ""
    methods: tuple[str, ...] = ()
    repeats: int = 0


def is_measured(status: str, owner: str) -> bool:
    """Whether somebody still measures a run, as far as this machine can tell."""
    if status != "running":
        return False
    who = msgspec.json.decode(owner, type=Owner | None)
    return who is not None and not who.foreign and who.alive


def entry_of(
    run_id: str,
    created_at: str,
    status: RunStatus,
    owner: str,
    name: str | None,
    baseline: int,
    plan: str,
    environment: str,
    model: str,
    tags: str | None,
    trials: int,
    done: int,
    failed: int,
) -> RunEntry:
    """A run in a list, from what the database has of it."""
    asked = msgspec.json.decode(plan, type=_Asked)
    place = msgspec.json.decode(environment, type=Environment)
    tensors = msgspec.json.decode(model, type=Model | None)
    return RunEntry(
        run_id=run_id,
        created_at=created_at,
        status="cancelled" if status == "running" and not is_measured(status, owner) else status,
        name=name or "",
        tags=tuple((tags or "").split()),
        baseline=bool(baseline),
        model=asked.model,
        model_bytes=tensors.logical_bytes if tensors is not None else None,
        storage=place.storage or asked.storage,
        filesystem=place.filesystem.type,
        device=asked.device,
        memory=asked.memory,
        methods=asked.methods,
        rounds=asked.repeats,
        hostname=place.hostname,
        trials=trials,
        done=done,
        failed=failed,
    )

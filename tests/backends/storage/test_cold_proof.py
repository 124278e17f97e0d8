"""What is proven of memory before a load."""

import pytest

from backends.storage.cold_proof import prove
from backends.storage.pagecache import Residency
from state.run.records import CacheState

#: What is proven -> (bytes of the files, how much is resident of how many pages, how much the device delivered).
WITNESSES: dict[CacheState, list[tuple[int, tuple[int, int] | None, int | None]]] = {
    "cold": [(1000, (0, 4096), 1000), (1000, (0, 4096), 4096), (1000, (0, 4096), 900)],
    "warm": [(1000, (4096, 4096), 0), (4096, (4096, 4096), 409)],
    "unknown": [
        *[(1000, (0, 4096), 899), (1000, (0, 4096), 0), (5000, (4096, 8192), 0), (5000, (4096, 8192), 5000)],
        *[(4096, (4096, 4096), 4096), (8190, (8192, 12288), 0)],
        *[(1000, None, 1000), (1000, (0, 4096), None), (1000, (4096, 4096), None), (1000, None, None)],
    ],
}


@pytest.mark.parametrize(("state", "witnesses"), [(state, it) for state, them in WITNESSES.items() for it in them])
def test_a_cache_is_proven_only_if_all_witnesses_agree(
    state: CacheState, witnesses: tuple[int, tuple[int, int] | None, int | None]
) -> None:
    stored_bytes, seen, device_read_bytes = witnesses
    residency = Residency(*seen) if seen else None
    assert prove(stored_bytes, residency, device_read_bytes) == state
    kept_below = prove(stored_bytes, residency, device_read_bytes, below_emptied=False)
    assert kept_below == (state if state == "warm" else "unknown")

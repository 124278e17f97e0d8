"""What the parts of a save or a load took."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class PartTimes:
    """Seconds of each part, summed over all threads: parts that overlap add up to more than the whole.

    Attributes:
        seconds: Name of a part -> its seconds so far.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Count what happens inside for a part."""
        start_s = time.perf_counter()
        try:
            yield
        finally:
            elapsed_s = time.perf_counter() - start_s
            with self._lock:
                self.seconds[part] = self.seconds.get(part, 0.0) + elapsed_s

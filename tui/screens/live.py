"""Screens besides the main one that follow what happens."""

from textual.screen import Screen

from state.live.explorer import Explorer


class LiveScreen(Screen[None]):
    """A screen that draws an `Explorer`, as long as it is in the stack."""

    def show(self, explorer: Explorer, hint: str) -> None:
        """Draw a state.

        Args:
            explorer: What is known.
            hint: What to do where nothing runs.
        """
        raise NotImplementedError

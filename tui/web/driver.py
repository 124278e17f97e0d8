"""Textual's way to a browser, for people who want plain characters only."""

from textual.drivers.web_driver import WebDriver

from tui.plain_characters import plain


class PlainDriver(WebDriver):
    """Draws with plain characters. A page is always sent UTF-8, so its encoding does not ask for them."""

    def write(self, data: str) -> None:
        """Draw."""
        super().write(plain(data))

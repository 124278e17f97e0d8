"""The explorer's help: what the screen says, and every key."""

from collections.abc import Mapping

from textual.content import Content
from textual.keys import format_key

from tui.keys import ACTIONS
from tui.text.glyphs import Glyphs

_PARAGRAPHS = (
    "Three switches make TensorStore fast or slow: concurrency (many file operations at a time), chunking (large "
    "pieces instead of 64x64 tiles) and compression. Flip one, and the method that the three make is highlighted in "
    "the table: tensorstore has all three off, t5x all three on. pytorch is torch.save and torch.load.",
    "{run} measures every selected method that has no result under the present settings: each save and each load in "
    "a process of its own, durable, loaded cold, compared bit for bit. Results stay when a switch flips. The first "
    'round appears at once; from the third on, ± is the 95 % interval of the median. "save x" and "load x" say how '
    "many times faster than tensorstore; ? stands where the noise could have made that difference. Whatever carries ≈ "
    "is an estimate, so is a factor across two runs.",
    "Between the methods, a plain writer and reader move the same bytes to the device and back: their speed is the "
    'limit. "of limit" is the share of it that a method reaches in save and load; the line in the chart is the limit. '
    '"bound by" names what holds it up: storage, page cache, CPU, metadata (many files), or method: none of these, but '
    "how it goes about it.",
    "Many methods are there, of several families: {presets} selects a group of them as a whole, {search} narrows the "
    "table to those with some words, and {details} explains one: what it does, its defaults, how close it is to "
    "upstream. A dimmed one needs a package that is not installed. A method that saves in the background has a stall, "
    "too: the time that training stands still.",
    "{why} says which switch did what, from all eight settings of the three. {history} lists every run that was kept, "
    "opens it, and compares two.",
    "{chosen} selected  {left_out} left out    {done} measured  {running} running  {queued} queued  {failed} failed  "
    "{cancelled} stopped\nmemory when the clock started: {partly} partly at hand  {as_found} as found",
    "Every run is kept in {folder}/history.db while it goes on: {history} shows them all, to open, name, compare, "
    "export or delete. Settings (theme, keys, defaults) are read from {settings}.",
)


def help_text(keys: Mapping[str, str], glyphs: Glyphs, *, folder: str, settings: str) -> Content:
    """The help with the keys that are in force.

    Args:
        keys: Action -> key.
        glyphs: The signs on the screen.
        folder: Where the history is kept.
        settings: The user's settings file.
    """
    signs = {str(state): sign for state, sign in glyphs.states.items()}
    signs |= {
        "chosen": glyphs.chosen,
        "left_out": glyphs.left_out,
        "partly": glyphs.partly,
        "as_found": glyphs.as_found,
    }
    reading = "\n\n".join(_PARAGRAPHS).format(
        run=keys["run"],
        presets=keys["presets"],
        search=format_key(keys["search"]),
        details=keys["details"],
        why=keys["why"],
        history=keys["history"],
        folder=folder,
        settings=settings,
        **signs,
    )
    parts: list[tuple[str, str]] = [(f"{reading}\n\n", "")]
    for binding in ACTIONS:
        shown = " ".join(format_key(key.strip()) for key in keys[str(binding.id)].split(","))
        parts += [
            (f"{shown:>10}  ", "bold $footer-key-foreground"),
            (f"{binding.description:<18}", "bold"),
            (f"{binding.tooltip}\n", ""),
        ]
    parts.append(("\nOn a switch enter flips it; on the setup enter opens its form.\n", ""))
    parts.append(("A click on a box selects; a double click does what enter does.\n", ""))
    return Content.assemble(*parts)

"""The explorer's looks. Bars and states use Okabe and Ito's palette, which colour-blind readers tell apart."""

from typing import Final, get_args

from textual.theme import BUILTIN_THEMES, Theme

from state.settings import ThemeName

_BARS_ON_DARK: Final = {"save": "#56B4E9", "load": "#E69F00", "size": "#2FBF92"}
_BARS_ON_LIGHT: Final = {"save": "#0072B2", "load": "#B36B00", "size": "#007A5A"}


def _cursor(background: str, foreground: str) -> dict[str, str]:
    return {
        "block-cursor-background": background,
        "block-cursor-foreground": foreground,
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": background,
        "block-cursor-blurred-foreground": foreground,
        "block-cursor-blurred-text-style": "none",
    }


#: By the names that the settings use.
THEMES: Final[dict[ThemeName, Theme]] = {
    "dark": Theme(
        name="dark",
        primary="#56B4E9",
        secondary="#8FA3B8",
        accent="#E69F00",
        warning="#E6B94D",
        error="#F08A4B",
        success="#2FBF92",
        foreground="#D9E0E8",
        background="#10151B",
        surface="#151C24",
        panel="#1D2731",
        variables={**_BARS_ON_DARK, **_cursor("#24425A", "#FFFFFF"), "footer-key-foreground": "#56B4E9"},
    ),
    "light": Theme(
        name="light",
        primary="#0072B2",
        secondary="#4A5A6A",
        accent="#B36B00",
        warning="#8A6100",
        error="#B54700",
        success="#007A5A",
        foreground="#1A222B",
        background="#FAFBFC",
        surface="#F1F4F7",
        panel="#E3E9EF",
        dark=False,
        variables={**_BARS_ON_LIGHT, **_cursor("#BBD9EE", "#10151B"), "footer-key-foreground": "#0072B2"},
    ),
    "high-contrast": Theme(
        name="high-contrast",
        primary="#FFFF00",
        secondary="#FFFFFF",
        accent="#00FFFF",
        warning="#FFFF00",
        error="#FF9F6B",
        success="#00FF9C",
        foreground="#FFFFFF",
        background="#000000",
        surface="#000000",
        panel="#000000",
        variables={
            "save": "#00FFFF",
            "load": "#FFFF00",
            "size": "#FFFFFF",
            **_cursor("#0000A0", "#FFFFFF"),
            "footer-key-foreground": "#FFFF00",
        },
    ),
    "terminal": Theme(
        name="terminal",
        ansi=True,
        primary="ansi_blue",
        secondary="ansi_cyan",
        accent="ansi_yellow",
        warning="ansi_yellow",
        error="ansi_red",
        success="ansi_green",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        variables={
            **BUILTIN_THEMES["ansi-dark"].variables,
            "save": "ansi_blue",
            "load": "ansi_yellow",
            "size": "ansi_green",
            **_cursor("ansi_blue", "ansi_bright_white"),
            "footer-key-foreground": "ansi_blue",
        },
    ),
}
THEME_NAMES: Final[tuple[ThemeName, ...]] = get_args(ThemeName)

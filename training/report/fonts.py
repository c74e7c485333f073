"""Fonts for what a user wrote in a picture of matplotlib, such as the name of a run in Chinese."""

import logging

# Fonts with Chinese letters, of Linux, Windows and macOS; DejaVu Sans, which matplotlib brings, has none.
CHINESE = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback")
CHINESE += ("Microsoft YaHei", "SimHei", "PingFang SC", "PingFang HK", "Hiragino Sans GB", "Heiti TC", "STHeiti")


def fonts(*texts: str) -> list[str]:
    """The fonts for what a user wrote: letters that the usual one lacks come from a Chinese one, where there is one."""
    if all(map(str.isascii, texts)):
        return ["DejaVu Sans"]
    from matplotlib import font_manager

    logging.getLogger(font_manager.__name__).setLevel(logging.ERROR)  # it warns of a font that is a little bolder
    known = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in CHINESE if name in known)]

"""Write docs/api.md from the signatures and docstrings of the package `delf`.

python3 docs/make_api.py
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import delf  # noqa: E402

PAGE = ROOT / "docs" / "api.md"


def page() -> str:
    """Return the page."""
    parts = ["# The package `delf`", inspect.getdoc(delf).replace("    ", "    ")]
    for name in delf.__all__:
        if name.startswith("__"):
            continue
        thing = getattr(delf, name)
        parts += _described(name, thing, "##")
        if inspect.isclass(thing):
            for method, value in vars(thing).items():
                if not method.startswith("_") and _is_public(value):
                    parts += _described(f"{name}.{method}", value, "###")
    return "\n\n".join(parts) + "\n"


def _is_public(value: object) -> bool:
    return bool(inspect.getdoc(value)) and (
        inspect.isfunction(value) or isinstance(value, (property, classmethod))
    )


def _described(title: str, thing: object, level: str) -> list[str]:
    """Return heading, signature and docstring of a thing; its sections become words in bold."""
    target = thing.__func__ if isinstance(thing, classmethod) else thing
    parts = [f"{level} `{title}`"]
    if callable(target) and not (inspect.isclass(target) and issubclass(target, Exception)):
        signature = str(inspect.signature(target)).replace("'", "")
        signature = re.sub(r" at 0x[0-9a-f]+", "", signature)
        parts.append(f"```python\n{title.split('.')[-1]}{signature}\n```")
    text = inspect.getdoc(thing) or ""
    text = re.sub(r"^(Args|Returns|Raises|Attributes|Yields):$", r"**\1**\n", text, flags=re.M)
    # One item a line, each a point of a list; what goes on below it belongs to it.
    text = re.sub(r"^    (\S[^:\n]*): ", r"- `\1`: ", text, flags=re.M)
    return [*parts, re.sub(r"^    +", "  ", text, flags=re.M)]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

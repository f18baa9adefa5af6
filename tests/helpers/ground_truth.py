"""Ground truth in the Oxford5k layout."""

from __future__ import annotations


def write_query(folder, label="house_1", query="q", good=(), ok=(), junk=(), box="1 2 30.5 40"):
    folder.mkdir(exist_ok=True)
    (folder / f"{label}_query.txt").write_text(f"{query} {box}\n")
    for kind, names in (("good", good), ("ok", ok), ("junk", junk)):
        (folder / f"{label}_{kind}.txt").write_text("".join(f"{name}\n" for name in names))

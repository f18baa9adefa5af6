"""Dropping the features of photos that are not wanted any more, of files or of a packed store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from src.common.block_files import DamagedBlockError
from src.common.packed_store import PackedStore, is_packed, writer_of
from src.describe.keepers import packing
from src.describe.record import forget_others
from src.feature_io import feature_path


def forget_features(folder: Path, names: Iterable[str]) -> int:
    """Drop the features of all photos but some from a folder; return of how many.

    The records of a packed store that stay are written behind each other into a new file, then the
    old files go: a run that is ended in between leaves all that there was, and is to be run again.

    Raises:
        UserError: another process is writing the store.
    """
    names = list(names)
    if is_packed(folder):
        dropped = _forget_packed(folder, set(names))
    else:
        kept = {feature_path(folder, name) for name in names}
        gone = [path for path in folder.rglob("*.npz") if path not in kept]
        for path in gone:
            path.unlink()
        dropped = len(gone)
    forget_others(folder, names)
    return dropped


def _forget_packed(folder: Path, names: set[str]) -> int:
    store = PackedStore(folder)
    dropped = len(set(store.names) - names)
    if not dropped:
        return 0
    old = [file.path for file in store.files]
    number = 1 + max(map(writer_of, old))
    with packing(folder, store.settings, number, store.times()) as keeper:
        for name in store.names:
            if name not in names:
                continue
            try:
                about, record = store.record(name)
            except DamagedBlockError:  # is described again
                continue
            keeper.append(name, about["photo"], about["sum"], record)
    for path in old:
        path.unlink()
    PackedStore(folder).keep_table()
    return dropped

"""Finished items kept by content key below ``.work``, so that a killed run goes on where it stopped.

A key hashes every input of its item: new settings give new keys, so nothing kept can be stale.
"""

from varireal.store.base import Kept, Store, content_key, work_root
from varireal.store.batches import BatchStore
from varireal.store.folders import FolderStore

__all__ = ["BatchStore", "FolderStore", "Kept", "Store", "content_key", "work_root"]

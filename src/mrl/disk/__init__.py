"""Files that last: written whole or not at all, read back only if unchanged. Nothing else writes such files.

A *sealed* file (JSON or safetensors) carries the SHA-256 of its own bytes, taken with the digest's 64 places set to
zeros. A *folder* is a sealed `manifest.json` that names every other file with its size and SHA-256. New versions get
new names and the manifest is renamed into place last, so a reader sees the old state or the new one, never a mixture.

    FOLDER/manifest.json            the newest state
    FOLDER/manifest-00000016.json   the one before, which commit 16 made; and earlier ones that are still being read
    FOLDER/.lock                    locked by the writer, of whom there is one at a time

A reader locks the manifest that it read, so a writer leaves the files that this names. Where the file system has no
locks, a reader may find that they are gone, and is told to open the folder again.

Every write goes to a temporary name, is flushed to the device, renamed, and the folder is flushed too.
"""

from mrl.disk.device import Device, using
from mrl.disk.files import Content, Draft, absent, new_folder, read_bytes, write
from mrl.disk.folder import Folder
from mrl.disk.names import LOCK, MANIFEST
from mrl.disk.sealed import encoded, read_json, read_tensors, sealed_json, sealed_tensors, write_json
from mrl.disk.state import Entry
from mrl.disk.whole import or_nothing, whole_folder

__all__ = [
    "LOCK",
    "MANIFEST",
    "Content",
    "Device",
    "Draft",
    "Entry",
    "Folder",
    "absent",
    "encoded",
    "new_folder",
    "or_nothing",
    "read_bytes",
    "read_json",
    "read_tensors",
    "sealed_json",
    "sealed_tensors",
    "using",
    "whole_folder",
    "write",
    "write_json",
]

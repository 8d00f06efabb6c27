"""What a crash may leave of what was written: every moment of it, under several ways in which a disk forgets.

    def work(path):                      # a generator: `yield n` says that state n is committed
        folder = Folder.create(path / "folder", "kind")
        folder.commit({"a": b"a"}, {"n": 1}, keep)
        yield 1

    def check(path, n):                  # n: the last one that was yielded before the crash, or None
        assert Folder.open(path / "folder", "kind").manifest["n"] >= n

    replay(work, check, tmp_path)

`work` gets an empty folder (or what `begin` put there, which is on the disk for good). All that it does through
`mrl.disk` is recorded, and for every prefix of that `check` gets folders as a crash may have left them: see `Moment`.
What it asserts is up to it: that a committed state opens, that it is not older than n, that writing can go on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mrl.disk import Device, using

Work = Callable[[Path], Generator[Any, None, object]]
Check = Callable[[Path, Any], object]


@dataclass(eq=False)
class File:
    """One inode. synced: the bytes that reached the disk. coming: those that the next flush brings."""

    synced: bytes = b""
    coming: bytes = b""


FOLDER = File()  # stands for any folder
Names = dict[Path, File | None]  # None: the name is taken away


@dataclass(frozen=True)
class Step:
    """What one call did. names: that it gave or took away. flushed: the folder or file that was, with the file's bytes.
    mark: what had been acknowledged when it was done."""

    names: Names = field(default_factory=dict)
    file: File | None = None
    content: bytes = b""
    folder: Path | None = None
    mark: Any = None


class Recorder(Device):
    """The file system, and a record of what was done to it below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.begun: Names = {path: FOLDER if path.is_dir() else _found(path) for path in sorted(root.rglob("*"))}
        self.steps: list[Step] = []
        self.mark: Any = None
        self._files = dict(self.begun)

    def acknowledge(self, mark: Any) -> None:
        """What was committed so far is not lost any more, whatever happens."""
        self.mark = mark
        self._add()

    def create(self, path: Path) -> IO[bytes]:
        file = super().create(path)
        self._add({path: File()})
        return file

    def append(self, path: Path) -> IO[bytes]:
        new = not path.exists()
        file = super().append(path)
        self._add({path: File()} if new else {})
        return file

    def flush(self, file: IO[bytes]) -> None:
        super().flush(file)
        path = Path(file.name)
        content, flushed = path.read_bytes(), self._files[path]
        assert flushed is not None
        flushed.coming = content
        self._add(file=flushed, content=content)

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self._add({new: self._files[old], old: None})

    def link(self, old: Path, new: Path) -> None:
        super().link(old, new)
        self._add({new: self._files[old]})

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._add({path: None})

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._add({path: FOLDER})

    def flush_folder(self, path: Path) -> None:
        super().flush_folder(path)
        self._add(folder=path)

    def _add(self, names: Names | None = None, **what: Any) -> None:
        self._files.update(names or {})
        self.steps.append(Step(names or {}, mark=self.mark, **what))


def _found(path: Path) -> File:
    content = path.read_bytes()
    return File(content, content)


@dataclass(frozen=True)
class Moment:
    """What may be on the disk at one moment: each name's file and bytes. mark: what had been acknowledged.

    Names: all that were given or taken away reached the disk at once (`now`), none of them since their folder was
    flushed (`late`), or of these the last one alone (`last`). Bytes that were not flushed: none, or half of them
    (`torn`).
    """

    model: str
    mark: Any
    files: dict[Path, tuple[File, bytes]]

    def build(self, root: Path, target: Path) -> None:
        """Put it all below `target`; a file with two names is one file there too."""
        made: dict[int, Path] = {}
        for path, (file, content) in sorted(self.files.items()):
            at = target / path.relative_to(root)
            if not at.parent.is_dir():
                continue  # the folder itself is lost
            if file is FOLDER:
                at.mkdir()
            elif id(file) in made:
                os.link(made[id(file)], at)
            else:
                at.write_bytes(content)
                made[id(file)] = at

    @property
    def signature(self) -> tuple[Any, ...]:
        """Equal for moments that look the same and acknowledge the same."""
        return self.mark, tuple(sorted((str(path), id(file), content) for path, (file, content) in self.files.items()))


def moments(recorder: Recorder) -> Iterator[Moment]:
    """All that a crash may leave, each once."""
    seen: set[tuple[Any, ...]] = set()
    durable, pending, synced = dict(recorder.begun), list[Names](), _begun_bytes(recorder)
    for step in [Step(), *recorder.steps]:
        if step.names:
            pending.append(step.names)
        if step.file is not None:
            synced[step.file] = step.content
        if step.folder is not None:
            for names in pending:
                durable.update({path: file for path, file in names.items() if path.parent == step.folder})
            pending = [names for names in pending if next(iter(names)).parent != step.folder]
        for moment in _forgotten(durable, pending, synced, step.mark):
            if moment.signature not in seen:
                seen.add(moment.signature)
                yield moment


def _begun_bytes(recorder: Recorder) -> dict[File, bytes]:
    return {file: file.synced for file in recorder.begun.values() if file is not None}


def _forgotten(durable: Names, pending: list[Names], synced: dict[File, bytes], mark: Any) -> Iterator[Moment]:
    """The ways in which a disk may forget."""
    for model, reached in {"now": pending, "late": [], "last": pending[-1:]}.items():
        names = dict(durable)
        for change in reached:
            names.update(change)
        for torn in (False, True):
            files = {path: (file, _content(file, synced, torn)) for path, file in names.items() if file is not None}
            yield Moment(f"{model}, torn" if torn else model, mark, files)


def _content(file: File, synced: dict[File, bytes], torn: bool) -> bytes:
    if file in synced:
        return synced[file]
    return file.coming[: len(file.coming) // 2] if torn else b""


def replay(
    work: Work,
    check: Check,
    scratch: Path,
    begin: Callable[[Path], object] | None = None,
    recorder: Callable[[Path], Recorder] = Recorder,
) -> int:
    """Do the work, then check all that a crash may leave of it; the number of these moments.

    begin: puts into the folder what is there, whole, before the work begins. recorder: a device of your own.
    """
    live, crashed = scratch / "live", scratch / "crashed"
    live.mkdir()
    if begin is not None:
        begin(live)
    recording = recorder(live)
    with using(recording):
        for mark in work(live):
            recording.acknowledge(mark)
    count = 0
    for count, moment in enumerate(moments(recording), 1):
        crashed.mkdir()
        moment.build(live, crashed)
        try:
            check(crashed, moment.mark)
        except BaseException as error:
            error.add_note(f"moment {count}, {moment.model}: {[str(p.relative_to(live)) for p in moment.files]}")
            raise
        shutil.rmtree(crashed)
    return count

"""What a run leaves in its folder: which checkpoint another goes on from, and what a new run must not mix with."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

SETTINGS_FILE = "run_settings.json"  # in a checkpoint: what defines the run that wrote it
RESUME = "resume_from_checkpoint=True (--resume on the command line)"
_SAVED = ("config.json", "adapter_config.json")  # either stands in a folder that holds a model


def checkpoints(output_dir: str | Path) -> dict[int, Path]:
    """Return the whole checkpoints of a run by their steps, the last one first.

    One that a killed process left half-written, without what is written last, is passed over.
    """
    folders = {}
    for folder in Path(output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        step = folder.name.split("-")[-1]
        try:
            for last in ("trainer_state.json", SETTINGS_FILE):
                json.loads((folder / last).read_text())
            folders[int(step)] = folder
        except (OSError, ValueError):
            continue
    return dict(sorted(folders.items(), reverse=True))


def last_checkpoint(output_dir: str | Path) -> Path:
    """Return the last whole checkpoint of a run.

    Raises:
        FileNotFoundError: There is none.
    """
    for folder in checkpoints(output_dir).values():
        return folder
    raise FileNotFoundError(
        f"{output_dir} holds no whole checkpoint to resume from: train without resume_from_checkpoint first "
        "(save_steps says how often checkpoints are written)"
    )


def checkpoint_to_resume(output_dir: str | Path, resume: str | Path | bool | None) -> Path | None:
    """Return the checkpoint that a run goes on from: one that was named, the last one for True, none for None.

    Raises:
        FileNotFoundError: There is none, or the one that was named is not whole.
    """
    if resume is None or resume is False:
        return None
    if resume is True:
        return last_checkpoint(output_dir)
    folder = Path(resume)
    if folder not in checkpoints(folder.parent).values():
        whole = ", ".join(map(str, checkpoints(folder.parent).values())) or "none"
        raise FileNotFoundError(f"{folder} is no whole checkpoint to resume from; whole ones beside it: {whole}")
    return folder


def foreign_checkpoints(output_dir: str | Path, start: Path | None) -> list[Path]:
    """Return the checkpoints in a run's folder that the run does not go on from: another run's, or later ones."""
    start = start.resolve() if start else None
    if start is None or start.parent != Path(output_dir).resolve():
        return list(Path(output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*"))
    own = int(start.name.split("-")[-1])
    return [folder for step, folder in checkpoints(output_dir).items() if step > own]


def check_output_dir(output_dir: str | Path, start: Path | None = None, overwrite: bool = False) -> None:
    """Check that a run can write into its folder, and would not mix with another one.

    Args:
        output_dir: The folder; it is made.
        start: The checkpoint that the run goes on from.
        overwrite: Whether another run's checkpoints may be deleted.

    Raises:
        FileExistsError: It holds another run.
        OSError: It cannot be written to.
    """
    folder = Path(output_dir)
    foreign = [] if overwrite else foreign_checkpoints(folder, start)
    if not overwrite and start is None:
        foreign += [folder / name for name in _SAVED if (folder / name).is_file()]
    if foreign:
        what = "checkpoints after the one to resume from" if start and start.parent == folder else "another run"
        raise FileExistsError(
            f"{folder} holds {what} ({foreign[0].name}): go on with it (resume_from_checkpoint=True), overwrite it "
            "(overwrite_output_dir=True), or choose another output_dir"
        )
    check_writable(folder)


def check_no_model(folder: str | Path) -> None:
    """Check that a folder holds no model, which another would be written over.

    Raises:
        FileExistsError: It does.
    """
    for name in _SAVED:
        if (Path(folder) / name).is_file():
            raise FileExistsError(f"{folder} holds a model ({name}): choose another output_dir, or remove that one")


def check_writable(folder: str | Path) -> None:
    """Make a folder, and check that files can be written to it.

    Raises:
        OSError: They cannot.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"nothing can be written to {folder} ({error.strerror}): choose another output_dir") from error


@contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Make a folder, and keep it for one run that writes into it; the system knows when its process has ended, however it did.

    Raises:
        FileExistsError: Another run is at work in it.
        OSError: It cannot be written to.

    >>> with tempfile.TemporaryDirectory() as folder, alone_in(folder), alone_in(folder):
    ...     pass
    Traceback (most recent call last):
    FileExistsError: ...: another run writes into it now: let it end, or choose another folder
    """
    check_writable(folder)
    lock = FileLock(Path(folder) / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise FileExistsError(
            f"{folder}: another run writes into it now: let it end, or choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def told_when_full(
    output_dir: str | Path, target: Callable[[], Path] | None = None, size: int = 0, how: str = RESUME
) -> Iterator[None]:
    """Say in one line that there was no space for what is written meanwhile, and which checkpoint is whole.

    Args:
        output_dir: The run's folder.
        target: Says which checkpoint is being written; its half is taken away.
        size: Bytes that the model takes: torch does not say that the disk is full.
        how: How a run is resumed.

    Raises:
        OSError: There is no space left.
    """
    try:
        yield
    except Exception as error:
        if not is_full(error, Path(output_dir), size):
            raise
        if target is not None and target() not in checkpoints(output_dir).values():
            shutil.rmtree(target(), ignore_errors=True)
        raise OSError(f"no space left on {output_dir}: {_whole(output_dir, how)}") from error


@contextmanager
def told_when_interrupted(output_dir: str | Path, step: Callable[[], int], how: str = RESUME) -> Iterator[None]:
    """Let an interruption (Ctrl-C) say at which step a run was stopped, and how it goes on.

    Raises:
        KeyboardInterrupt: It was interrupted.
    """
    try:
        yield
    except KeyboardInterrupt as interruption:
        raise KeyboardInterrupt(f"stopped at step {step()}: {_whole(output_dir, how)}") from interruption


def _whole(output_dir: str | Path, how: str) -> str:
    for step in checkpoints(output_dir):
        return f"checkpoint {step} is whole, resume with {how}"
    return "no checkpoint was written before (save_steps says how often one is)"


def is_full(error: BaseException | None, folder: Path, size: int = 0) -> bool:
    """Say whether an error, or what caused it, came of a full disk."""
    if size and shutil.disk_usage(folder).free < size:
        return True
    while error is not None:
        code = error.errno if isinstance(error, OSError) else None
        if code in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say what two runs' settings differ in.

    >>> differences({"beta": 0.07, "seed": 0}, {"beta": 0.1, "seed": 0, "top_k": 5})
    ['beta 0.07 → 0.1', 'top_k None → 5']
    """
    names = sorted(then.keys() | now.keys())
    return [f"{name} {then.get(name)} → {now.get(name)}" for name in names if then.get(name) != now.get(name)]

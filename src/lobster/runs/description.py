"""run.yaml: everything that defines a run, written so that it can be read, compared and repeated."""

import hashlib
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from datasets import Dataset
from pyarrow import parquet
from transformers import AutoTokenizer, PreTrainedTokenizerBase, TrainingArguments

from lobster.installation import versions
from lobster.resume import differences
from lobster.runs.folder import RUN_FILE, read_description
from lobster.scoring.components import import_from, resolve_function
from lobster.scoring.function import ScoringFunction
from lobster.scoring.transforms import TRANSFORMS
from lobster.sequences import SmilesOptions
from lobster.shipped import assets

logger = logging.getLogger(__name__)

_DATA = ("train_dataset", "eval_dataset")
_FLAGS = {"model_path": "model_name_or_path", "ume_model_path": "encoder", "processing_class": "chat_template"}
_ODD = re.compile(r"[^\w.-]")  # in the name of a file
_MOST_DATA = 2**28  # bytes of a data set that is copied into the folder
_HEAD = f"""\
# What defines this run. To repeat it, or to go on with it:
#     lobster grpo --config {RUN_FILE} --output_dir …     # other flags win over what stands here
#     lobster grpo --config {RUN_FILE} --resume
#     train_ume_grpo(**read_run("{RUN_FILE}"), output_dir="…")      # both of lobster.rl_training
"""


def write_run(folder: Path, arguments: Mapping[str, Any], args: TrainingArguments, resumed: int | None) -> None:
    """Write run.yaml, and the prompts beside it.

    Args:
        folder: The run's.
        arguments: Of `train_ume_grpo`, as they were resolved; ``callbacks`` are named, but not written.
        args: Of the trainer.
        resumed: The step that the run goes on from, of a run that this file has described.
    """
    file = folder / RUN_FILE
    before = read_description(file) if resumed is not None and file.is_file() else None
    writer = _Writer(folder)
    plain = {name: writer.argument(name, value) for name, value in arguments.items() if name != "callbacks"}
    goings_on = list(before.get("resumed", [])) if before else []
    if before:
        changed = differences(_flat(before["arguments"]), _flat(plain))
        goings_on.append({"step": resumed} | ({"changed": ", ".join(changed)} if changed else {}))
    about = {
        "versions": {name: found for name, found in versions().items() if found != "missing"},
        "revision": revision(),
        "processes": args.world_size,
        "callbacks": [type(callback).__name__ for callback in arguments.get("callbacks") or []],
        "resumed": goings_on,
        "files": writer.files,
        "not_in_this_file": writer.lost,
    }
    lost = {where.split(".")[0] for where in writer.lost}
    text = yaml.safe_dump(
        {"arguments": {name: value for name, value in plain.items() if name not in lost}}
        | {name: value for name, value in about.items() if value},
        sort_keys=False,
        allow_unicode=True,
    )
    file.write_text(_HEAD + text)


def read_run(file: str | Path, **changes: Any) -> dict[str, Any]:
    """Return the arguments of `train_ume_grpo` that a run.yaml holds, all but ``output_dir``.

    Args:
        file: The file, or the folder of the run.
        changes: Arguments instead of the file's, or that it lacks.

    Raises:
        FileNotFoundError: The file, or one that it names, does not exist.
        ValueError: It is no run's, or one that cannot be repeated from it alone: the message names the arguments to pass.
    """
    file = Path(file) / RUN_FILE if Path(file).is_dir() else Path(file)
    found = read_description(file)
    lost = {
        where: what for where, what in found.get("not_in_this_file", {}).items() if where.split(".")[0] not in changes
    }
    if lost:
        raise ValueError(
            f"{file} does not hold the whole run ({'; '.join(f'{where}: {what}' for where, what in lost.items())}): pass "
            + ", ".join(dict.fromkeys(map(_how_to_pass, lost)))
        )
    for going_on in found.get("resumed", []):
        if "changed" in going_on:
            logger.warning(
                "until step %d the run of %s had other arguments: %s", going_on["step"], file, going_on["changed"]
            )
    for place, known in found.get("files", {}).items():
        _check_file(file.parent / place, known, file)
    arguments = found["arguments"] | changes
    for name in _DATA:
        if name not in changes and arguments.get(name) is not None:
            arguments[name] = _read_data(arguments[name], file.parent)
    if "reward_funcs" not in changes and arguments.get("reward_funcs"):
        arguments["reward_funcs"] = [
            resolve_function(one["function"]) if isinstance(one, Mapping) else one for one in arguments["reward_funcs"]
        ]
    if "peft_config" not in changes and arguments.get("peft_config"):
        from peft import get_peft_config

        arguments["peft_config"] = get_peft_config(arguments["peft_config"])
    if "processing_class" not in changes and arguments.get("processing_class"):
        arguments["processing_class"] = AutoTokenizer.from_pretrained(file.parent / arguments["processing_class"])
    return arguments


def _how_to_pass(where: str) -> str:
    """Say how an argument is passed, in Python and, where its flag has another name, on the command line."""
    name = where.split(".")[0]
    return f"{name}= (--{_FLAGS[name]})" if name in _FLAGS else f"{name}="


def _check_file(path: Path, known: Mapping[str, Any], file: Path) -> None:
    """Check that a file which a run.yaml names is there, say where it has changed, and let a module be found."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}, which {file} names, does not exist: put it there again")
    if (now := _digest(path)) != known["sha256"]:
        logger.warning(
            "%s has changed since %s was written (sha256 %.8s…, now %.8s…)", path, file, known["sha256"], now
        )
    if "import_from" in known:
        import_from(Path(known["import_from"]))


def _read_data(value: Any, folder: Path) -> Any:
    """Return the data that a path, or a mapping of names to paths, stands for; other data as it is."""
    if isinstance(value, str):
        return Dataset(parquet.read_table(folder / value))
    if isinstance(value, Mapping) and all(isinstance(part, str) for part in value.values()):
        return {name: Dataset(parquet.read_table(folder / part)) for name, part in value.items()}
    return value


class _Writer:
    """Turns arguments into what YAML can say.

    Args:
        folder: Of the run; data go there.

    Attributes:
        files: What the arguments name, by path, with what identifies each.
        lost: What YAML cannot say, by its place.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.files: dict[str, dict[str, Any]] = {}
        self.lost: dict[str, str] = {}

    def plain(self, value: Any, where: str) -> Any:
        """Return a value as YAML can say it."""
        match value:
            case Enum():
                return value.value
            case None | bool() | int() | str():
                return value
            case float() | np.generic():
                return value.item() if isinstance(value, np.generic) else value
            case Path():
                return str(value)
            case torch.dtype():
                return str(value).removeprefix("torch.")
            case Dataset():
                return self._data(value, where)
            case ScoringFunction():
                parts = [self._component(c.arguments, f"{where}.{c.name}") for c in value.components]
                return {"combine": value.combine, "components": parts}
            case SmilesOptions():
                return asdict(value)
            case Mapping():
                return {str(self.plain(key, where)): self.plain(part, f"{where}.{key}") for key, part in value.items()}
            case list() | tuple():
                return [self.plain(part, f"{where}.{number}") for number, part in enumerate(value)]
            case set() | frozenset():
                return sorted(self.plain(part, where) for part in value)
        self.lost[where] = f"a {type(value).__name__}"
        return None

    def argument(self, name: str, value: Any) -> Any:
        """Return an argument of `train_ume_grpo` as YAML can say it."""
        match name:
            case "model_path":
                return self._policy(value)
            case "ume_model_path":
                return self._encoder(value)
            case "reference" if isinstance(value, (str, Path)):
                return self._file(Path(value))
            case "reference" if isinstance(value, Mapping):
                return {str(self.plain(key, name)): self._file(Path(file)) for key, file in value.items()}
            case "diversity" if isinstance(value, Mapping) and value.get("begin_with"):
                return self.plain({**value, "begin_with": Path(value["begin_with"]).resolve()}, name)
            case "reward_funcs":
                return [self._reward(one, f"{name}.{number}") for number, one in enumerate(value)]
            case "peft_config":
                return self.plain(value.to_dict(), name)
            case "processing_class" if isinstance(value, PreTrainedTokenizerBase):
                return self._tokenizer(value, name)
        return self.plain(value, name)

    def _policy(self, policy: Any) -> Any:
        """Return the name or path of a policy; one in memory is known where the run has saved it."""
        if isinstance(policy, (str, Path)):
            return _name(policy)
        source = Path(policy.config._name_or_path or "nowhere")
        if source.resolve().parent != self.folder.resolve():
            self.lost["model_path"] = f"a {type(policy).__name__} in memory, from {source}"
        return _name(source)

    def _encoder(self, encoder: Any) -> str | None:
        """Return the name or path of an encoder."""
        if encoder.folder is None or not (encoder.folder / "config.json").is_file():
            self.lost["ume_model_path"] = f"a {type(encoder).__name__} in memory, from {encoder.folder or 'nowhere'}"
            return None
        return _name(encoder.folder)

    def _reward(self, function: Any, where: str) -> Any:
        return function if isinstance(function, str) else {"function": self._function(function, where)}

    def _function(self, function: Any, where: str) -> str | None:
        """Return the dotted name that a function can be imported by."""
        module, name = getattr(function, "__module__", "?"), getattr(function, "__qualname__", "?")
        dotted = f"{module}.{name}"
        try:
            importable = module != "__main__" and resolve_function(dotted) is function
        except ValueError:
            importable = False
        if not importable:
            self.lost[where] = f"{name} of {module}, which cannot be imported by a name"
            return None
        self._module(module)
        return dotted

    def _module(self, module: str) -> None:
        """Note the file of a module which is neither ours nor installed."""
        file = Path(getattr(sys.modules.get(module), "__file__", None) or "?").resolve()
        if file.is_file() and "site-packages" not in file.parts and module.split(".")[0] != "lobster":
            root = file.parents[module.count(".") + (file.stem == "__init__")]
            self.files[str(file)] = {"sha256": _digest(file), "import_from": str(root)}

    def _component(self, arguments: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return what describes a component of a score."""
        found = {name: value for name, value in arguments.items() if value is not None}
        if callable(found["kind"]):
            found["kind"] = self._function(found["kind"], f"{where}.kind")
        elif "." in found["kind"]:
            self._module(found["kind"].rpartition(".")[0])
        transform = found.get("transform")
        if type(transform) in TRANSFORMS.values():
            [kind] = [name for name, known in TRANSFORMS.items() if known is type(transform)]
            found["transform"] = {"kind": kind} | {k: v for k, v in vars(transform).items() if v is not None}
        return {name: self._with_files(self.plain(value, f"{where}.{name}")) for name, value in found.items()}

    def _with_files(self, value: Any) -> Any:
        """Return a parameter whose names of files lead there from anywhere."""
        if isinstance(value, list):
            return [self._with_files(part) for part in value]
        return self._file(Path(value)) if isinstance(value, str) and Path(value).is_file() else value

    def _file(self, file: Path) -> str:
        place = str(file.resolve())
        self.files[place] = {"sha256": _digest(file)}
        return place

    def _tokenizer(self, tokenizer: PreTrainedTokenizerBase, name: str) -> str:
        """Copy a tokenizer into the folder."""
        place = f"data/{name}"
        for file in tokenizer.save_pretrained(self.folder / place):
            self.files[f"{place}/{Path(file).name}"] = {"sha256": _digest(Path(file))}
        return place

    def _data(self, data: Dataset, where: str) -> str | None:
        """Copy data into the folder."""
        if data.data.nbytes > _MOST_DATA:
            self.lost[where] = f"{len(data):,} rows, {data.data.nbytes / 2**20:,.0f} MiB, which are not copied"
            return None
        place = f"data/{_ODD.sub('_', where)}.parquet"
        (self.folder / "data").mkdir(exist_ok=True)
        parquet.write_table(data.with_format("arrow")[:], self.folder / place)
        self.files[place] = {"sha256": _digest(self.folder / place), "rows": len(data), "columns": data.column_names}
        return place


def _name(model: str | Path) -> str:
    """Return the name of a model that ships, the whole path of a folder, a Hub id as it is."""
    path = Path(model).expanduser()
    if not path.exists():
        return str(model)
    path = path.resolve()
    return path.name if path.parent == assets().resolve() else str(path)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names."""
    if not isinstance(value, (Mapping, list)) or not value:
        return {name: value}
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
    return {key: leaf for part, inner in pairs for key, leaf in _flat(inner, f"{name}.{part}".strip(".")).items()}


def revision() -> str | None:
    """Return the git revision of the folder one stands in, with a + where files differ from it; None where there is none."""
    if shutil.which("git") is None:
        return None
    head, changed = (
        subprocess.run(["git", *words], capture_output=True, text=True)
        for words in (["rev-parse", "HEAD"], ["status", "-s", "-uno"])
    )
    return head.stdout.strip() + "+" * bool(changed.stdout.strip()) if head.returncode == 0 else None

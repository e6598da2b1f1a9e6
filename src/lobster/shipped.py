"""The models and the example runs that ship with the library, told without loading one."""

import json
import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


def assets() -> Path:
    """Return the folder of the models that ship."""
    return Path(str(files("lobster").joinpath("assets")))


@dataclass(frozen=True)
class ShippedModel:
    """A model that ships.

    Attributes:
        name: What it is loaded by.
        folder: Where it lies.
    """

    name: str
    folder: Path

    @property
    def kind(self) -> str:
        """What it is: an encoder or a policy."""
        config = json.loads((self.folder / "config.json").read_text())
        return "encoder" if config["model_type"] == "ume" else "policy"

    @property
    def parameters(self) -> int:
        """How many numbers its weights are, read from the file's head."""
        with (self.folder / "model.safetensors").open("rb") as stream:
            head = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        return sum(math.prod(tensor["shape"]) for name, tensor in head.items() if name != "__metadata__")

    @property
    def megabytes(self) -> float:
        """What it takes on disk."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file()) / 1e6

    @property
    def card(self) -> str:
        """How it was made, and what it can do, in Markdown."""
        return (self.folder / "README.md").read_text()

    @property
    def about(self) -> str:
        """Its card's first sentence."""
        lines = self.card.split("---")[2].strip().splitlines()
        return next(line for line in lines[1:] if line).split(". ")[0].removesuffix(".")


def shipped_models() -> dict[str, ShippedModel]:
    """Return the models that ship, by name.

    >>> shipped_models()["smiles-policy-3M"].parameters
    3426048
    """
    folders = sorted(folder for folder in assets().iterdir() if (folder / "config.json").is_file())
    return {folder.name: ShippedModel(folder.name, folder) for folder in folders}


def example_runs() -> dict[str, str]:
    """Return commented YAML files for `lobster grpo`, by name, which run as they are.

    >>> example_runs()["smiles"].splitlines()[0]
    '# Reinforces the SMILES policy that ships: lobster grpo --config run.yaml'
    """
    folder = Path(str(files("lobster").joinpath("grpo_command", "examples")))
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.yaml"))}

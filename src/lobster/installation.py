"""What is installed, what is missing, and what there is to compute on."""

import os
import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

NAME = "lobster-rl"
_SHOWN = ("torch", "transformers", "trl", "accelerate", "datasets", "tokenizers", "rdkit", "numpy", "peft")


def versions() -> dict[str, str]:
    """Return the versions of the library, of Python and of the packages that a run depends on; "missing" where one is.

    >>> versions()["python"] == platform.python_version()
    True
    """
    import lobster

    found = {NAME: lobster.__version__, "python": platform.python_version()}
    return found | {name: installed(name) or "missing" for name in _SHOWN}


def installed(package: str) -> str | None:
    """Return the version of an installed package, None where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def missing_packages() -> dict[str, list[str]]:
    """Return what is not installed, or too old, by the extra that asks for it; "" is what is always needed.

    Raises:
        PackageNotFoundError: The library itself runs without being installed.
    """
    extras = metadata(NAME).get_all("Provides-Extra") or []
    requirements = [Requirement(line) for line in requires(NAME) or []]
    wanted = [r for r in requirements if r.name != NAME]  # an extra may ask for another one
    return {extra: [_named(r) for r in wanted if _asks(r, extra) and not _is_met(r)] for extra in ["", *extras]}


def _named(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _asks(requirement: Requirement, extra: str) -> bool:
    """Say whether an extra asks for a package here, and the library without it does not."""
    always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    if not extra:
        return always
    return not always and requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _is_met(requirement: Requirement) -> bool:
    found = installed(requirement.name)
    return found is not None and requirement.specifier.contains(found, prereleases=True)


def devices() -> list[str]:
    """Say what there is to compute on."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [f"cpu: {cores} cores, {torch.get_num_threads()} threads"]
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        found.append(f"cuda:{number}: {about.name}, {about.total_memory / 2**30:.0f} GiB")
    return found if found[1:] else [*found, "cuda: none, everything runs on the CPU"]


def missing_for_drawing() -> str | None:
    """Return what RDKit lacks to draw molecules and the remedy, None where it can: a bare system has no X11 libraries.

    >>> missing_for_drawing()
    """
    try:
        import_module("rdkit.Chem.Draw")
    except ImportError as error:
        return f"RDKit cannot draw ({error}): apt-get install libxrender1 libxext6 libexpat1"
    return None

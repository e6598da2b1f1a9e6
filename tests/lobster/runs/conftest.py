"""What tests of runs share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ume_folder(tiny_ume, tmp_path_factory) -> Path:
    """A folder with a tiny untrained UME."""
    folder = tmp_path_factory.mktemp("ume")
    tiny_ume.save_pretrained(folder)
    return folder

"""What libraries print that is of no use to who trains."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging


def silence_libraries() -> None:
    """Have transformers show no progress bar for each file that is read or written, and say nothing of what TRL asks of it."""
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence libraries meanwhile; also a decorator."""
    shown = logging.is_progress_bar_enabled()
    with warnings.catch_warnings():
        silence_libraries()
        try:
            yield
        finally:
            if shown:
                logging.enable_progress_bar()

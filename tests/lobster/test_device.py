"""Where a model runs, and in which precision."""

import warnings

import pytest
import torch

from lobster.device import _warn_once, resolve_device, resolve_dtype

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")


@pytest.fixture(autouse=True)
def _fresh_warnings():
    _warn_once.cache_clear()
    yield
    _warn_once.cache_clear()


@without_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
def test_missing_cuda_warns_and_gives_the_cpu(device: str | torch.device):
    with pytest.warns(UserWarning, match="CUDA is not available") as caught:
        assert resolve_device(device) == torch.device("cpu")
    assert len(caught) == 1


@without_cuda
def test_missing_cuda_warns_only_once():
    with pytest.warns(UserWarning, match="cuda"):
        resolve_device("cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_device("cuda") == torch.device("cpu")


@without_cuda
@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), None])
def test_cpu_and_default_do_not_warn(device: str | torch.device | None):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_device(device) == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_each_process_gets_its_own_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert resolve_device("cuda") == resolve_device(None) == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("cuda") == torch.device("cuda", 3)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16, torch.float16])
def test_cpu_is_always_float32(dtype: torch.dtype | None):
    assert resolve_dtype(torch.device("cpu"), dtype) is torch.float32


def test_elsewhere_the_precision_is_what_was_asked_for():
    assert resolve_dtype(torch.device("cuda"), torch.bfloat16) is torch.bfloat16
    assert resolve_dtype(torch.device("cuda")) is torch.float32

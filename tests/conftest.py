"""Settings shared by all tests."""

import pytest
import torch

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Numbers are compared, so no test may depend on how many cores the machine has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=GPU)])
def device(request) -> str:
    """Every device that the methods run on; a test that takes it is skipped where there is no GPU."""
    return request.param

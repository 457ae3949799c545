"""Settings shared by all tests."""

from collections.abc import Iterator

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


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> Iterator[None]:
    """Programs that tests start shall not know where they were started from: a hook of git names its
    repository in variables, and services that run tests ask for colors."""
    place = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
    asking = ("PYTEST_ADDOPTS", "FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE")
    with pytest.MonkeyPatch.context() as patch:
        for name in (*place, *asking):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=GPU)])
def device(request) -> str:
    """Every device that the methods run on; a test that takes it is skipped where there is no GPU."""
    return request.param

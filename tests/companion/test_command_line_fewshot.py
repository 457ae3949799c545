"""Few-shot experiments from the command line: where images are taken from."""

import pytest

from companion.__main__ import main
from metalib.data import miniimagenet
from metalib.data.omniglot import VARIABLE


@pytest.fixture
def companion(monkeypatch, capsys, tmp_path):
    """Call the command line with an empty cache and without the variable; return exit code and errors."""
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setenv(miniimagenet.VARIABLE, "")

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["companion", *arguments, "--results", str(tmp_path / "runs")])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), capsys.readouterr().err

    return call


def test_a_folder_without_omniglot_is_one_line_and_exit_code_2(companion, tmp_path):
    missing = tmp_path / "nowhere"
    code, errors = companion("run", "table2", "--budget", "smoke", "--omniglot", str(missing))
    assert code == 2
    assert errors.startswith("companion: the Omniglot folder")
    assert len(errors.splitlines()) == 1
    code, errors = companion("run", "fidelity", "--budget", "smoke", "--omniglot", str(tmp_path))
    assert code == 2
    assert "holds neither images_background.zip nor a folder images_background" in errors


def test_an_unknown_budget_names_those_there_are(companion):
    code, errors = companion("run", "table2", "--budget", "huge")
    assert code == 2
    assert "table2 has smoke, quick, laptop, paper" in errors


def test_without_mini_imagenet_table_1_says_where_to_get_a_copy_and_how_to_name_it(companion, tmp_path):
    code, errors = companion("run", "table1", "--budget", "smoke")
    assert code == 2
    assert "(none given) is not there; name a copy by METALIB_MINIIMAGENET (a complete copy is in" in errors
    assert len(errors.splitlines()) == 1
    code, errors = companion(
        "run", "table1", "--budget", "smoke", "--miniimagenet", str(tmp_path / "nowhere")
    )
    assert code == 2
    assert f"the Mini-ImageNet folder {tmp_path / 'nowhere'} is not there" in errors

"""The novelty memory: alone, on disk, and over processes."""

import subprocess
import sys
import textwrap

import pytest

from lobster.rl_training import NoveltyMemory


def test_a_pause_remembers_nothing():
    memory = NoveltyMemory()
    memory.novel(["a"])
    with memory.paused():
        assert memory.novel(["a", "b", "b", None]) == [True, True, True, False]
    assert memory.novel(["a", "b"]) == [False, True]
    assert len(memory) == 2


def test_it_survives_on_disk(tmp_path):
    memory = NoveltyMemory()
    memory.novel([str(i) for i in range(1000)])
    memory.save(tmp_path)
    other = NoveltyMemory()
    other.load(tmp_path)
    assert len(other) == 1000
    assert other.novel(["999", "1000"]) == [False, True]


def test_a_folder_without_a_memory_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="pay_once=False"):
        NoveltyMemory().load(tmp_path)


def test_two_processes_share_one_memory(tmp_path):
    script = tmp_path / "share.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from accelerate import PartialState
            from lobster.rl_training.diversity import NoveltyMemory

            state = PartialState(cpu=True)
            memory = NoveltyMemory()
            own = [["x", "y"], ["y", "z", "z"]][state.process_index]
            first = memory.novel(own)
            second = memory.novel([["z"], ["x", "w"]][state.process_index])
            with open(f"{sys.argv[1]}/{state.process_index}", "w") as out:
                print(first, second, len(memory), file=out)
            state.destroy_process_group()
            """
        )
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    subprocess.run([*command, str(script), str(tmp_path)], check=True, capture_output=True, timeout=120)
    assert (tmp_path / "0").read_text().strip() == "[True, True] [False] 4"
    assert (tmp_path / "1").read_text().strip() == "[False, True, False] [False, True] 4"

"""Policies: whole ones, LoRA adapters, and those on the Hub, asked of a server that speaks as the Hub does."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    EsmConfig,
    EsmForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)

from lobster.evaluation import sample
from lobster.model.policies import find_policy, load_policy
from lobster.resume import SETTINGS_FILE

peft = pytest.importorskip("peft")

COMMIT = "0" * 40


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([[0, 4, 5, 6]])).logits


@pytest.fixture(scope="module")
def adapter(tiny_policy, tmp_path_factory) -> Path:
    """A LoRA adapter, with weights that change what its base says."""
    folder = tmp_path_factory.mktemp("adapter")
    base = AutoModelForCausalLM.from_pretrained(tiny_policy)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(0)
    peft.get_peft_model(base, config).save_pretrained(folder)
    return folder


def rebased(adapter: Path, folder: Path, base: str | None) -> Path:
    """A copy of an adapter that names another base."""
    shutil.copytree(adapter, folder)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": base}))
    return folder


def test_a_lora_folder_loads_on_its_base_and_samples(adapter, tiny_policy):
    model, tokenizer = load_policy(adapter)
    assert not torch.equal(logits(model), logits(load_policy(tiny_policy)[0]))
    assert len(sample(model, tokenizer, 3)) == 3


def test_the_base_of_a_lora_folder_may_be_relative_or_ship(adapter, tiny_policy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_policy, tmp_path / "here" / "base")
    expected = logits(load_policy(adapter)[0])
    for number, base in enumerate(
        ("here/base", "../here/base")
    ):  # from where one stands, and from the adapter's folder
        assert torch.equal(logits(load_policy(rebased(adapter, tmp_path / f"a{number}", base))[0]), expected)
    assert find_policy("here/base") == str(tmp_path / "here" / "base")
    shipped = AutoModelForCausalLM.from_pretrained(find_policy("smiles-policy-3M"), dtype=torch.float32)
    wrapped = peft.get_peft_model(shipped, peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    wrapped.save_pretrained(tmp_path / "shipped")
    for number, base in enumerate(("smiles-policy-3M", "/elsewhere/lobster/assets/smiles-policy-3M")):
        model, _ = load_policy(rebased(tmp_path / "shipped", tmp_path / f"s{number}", base))
        assert model.config.vocab_size == shipped.config.vocab_size


@pytest.mark.parametrize(
    ("base", "error", "message"),
    [
        ("no-such-base", FileNotFoundError, "the base of the LoRA adapter .*'no-such-base' not found"),
        (None, ValueError, "names no base"),
    ],
)
def test_a_lora_folder_without_its_base_says_so(adapter, tmp_path, base, error, message):
    with pytest.raises(error, match=message):
        load_policy(rebased(adapter, tmp_path / "a", base))


def test_a_lora_folder_without_peft_names_the_extra(adapter, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"pip install 'lobster-rl\[peft\]'"):
        load_policy(adapter)


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 33}
NO_POLICIES = {
    "esm": lambda: EsmForMaskedLM(EsmConfig(**SMALL, pad_token_id=1, mask_token_id=32)),
    "bert": lambda: BertForMaskedLM(BertConfig(**SMALL)),
    "t5": lambda: T5ForConditionalGeneration(
        T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=33)
    ),
}


@pytest.mark.parametrize("kind", NO_POLICIES)
def test_an_encoder_is_no_policy(kind, tiny_policy, tmp_path):
    NO_POLICIES[kind]().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_policy).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"of the type {kind}, which cannot write: .* such as smiles-policy-3M"):
        load_policy(tmp_path)


def test_a_policy_without_a_tokenizer_says_so(tiny_policy, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "llama").mkdir(exist_ok=True)
        shutil.copy(tiny_policy / name, tmp_path / "llama")
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=40)).save_pretrained(tmp_path / "gpt2")
    for kind in ("llama", "gpt2"):  # of the latter transformers makes a tokenizer without a vocabulary
        with pytest.raises(ValueError, match=rf"{kind} has no tokenizer .*processing_class="):
            load_policy(tmp_path / kind)


def test_the_folder_of_an_unfinished_run_names_its_checkpoint(tiny_policy, tmp_path):
    checkpoint = Path(shutil.copytree(tiny_policy, tmp_path / "checkpoint-20"))
    for last in ("trainer_state.json", SETTINGS_FILE):
        (checkpoint / last).write_text("{}")
    AutoTokenizer.from_pretrained(tiny_policy).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"no config\.json .*: its last checkpoint is .*checkpoint-20"):
        load_policy(tmp_path)


class Hub(ThreadingHTTPServer):
    """A server of the repositories in a folder, `owner/name`, that speaks as much of the Hub's protocol as loaders need."""

    def __init__(self, folder: Path):
        self.folder, self.fetched = folder, []
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self):
        first, *parts = self.path.partition("?")[0].strip("/").split("/")
        repository = self.server.folder / "/".join(parts[1:3] if first == "api" else [first, parts[0]])
        files = {str(f.relative_to(repository)): f for f in repository.rglob("*") if f.is_file()}
        content, headers = None, {"X-Repo-Commit": COMMIT}
        if first != "api":  # /owner/name/resolve/main/file
            name = "/".join(parts[3:])
            if name in files:
                content = files[name].read_bytes()
                headers["ETag"] = f'"{hashlib.sha1(content).hexdigest()}"'
                if self.command == "GET":
                    self.server.fetched.append("/".join([first, parts[0], name]))
        elif parts[3:4] == ["tree"]:  # /api/models/owner/name/tree/main/folder
            found = [f for f in files if f.startswith("/".join(parts[5:]))]
            content = (
                json.dumps([{"type": "file", "path": f, "size": 1, "oid": "0"} for f in found]).encode()
                if found
                else None
            )
        elif files:  # /api/models/owner/name/revision/main
            known = {"id": "/".join(parts[1:3]), "sha": COMMIT, "siblings": [{"rfilename": f} for f in files]}
            content = json.dumps(known).encode()
        if content is not None:
            self.send(200, content, headers)
        else:
            code = "EntryNotFound" if files else "RepoNotFound"
            self.send(404, b'{"error": "not found"}', headers | {"X-Error-Code": code})

    do_HEAD = do_GET

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tiny_policy, tiny_ume, adapter, tmp_path) -> Hub:
    """A chat policy with pickled weights alone, a LoRA adapter of it, and an encoder with more beside its weights."""
    folder = tmp_path / "hub"
    chat = Path(shutil.copytree(tiny_policy, folder / "someone" / "chat"))
    (chat / "model.safetensors").unlink()
    torch.save(AutoModelForCausalLM.from_pretrained(tiny_policy).state_dict(), chat / "pytorch_model.bin")
    (chat / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    (chat / "tokenizer.model").write_bytes(b"as of sentencepiece")
    config = json.loads((chat / "tokenizer_config.json").read_text())
    (chat / "tokenizer_config.json").write_text(json.dumps(config | {"tokenizer_class": "LlamaTokenizer"}))
    rebased(adapter, folder / "someone" / "lora", "someone/chat")
    tiny_ume.save_pretrained(folder / "someone" / "ume")
    for name in ("pytorch_model.bin", "modeling.py", "chat_template.jinja"):
        (folder / "someone" / "ume" / name).write_text("not fetched")
    server = Hub(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_of_a_policy_on_the_hub_all_is_fetched_and_of_an_encoder_data_alone(hub, tiny_ume, tmp_path):
    script = """
        import json, sys
        from lobster.model import Ume
        from lobster.model.policies import load_policy
        from lobster.rl_training import create_ume_grpo_trainer

        ume = Ume.from_pretrained("someone/ume", device="cpu")
        messages = [[{"role": "user", "content": "C"}]] * 8
        trainer = create_ume_grpo_trainer(
            "someone/chat", ume, messages, output_dir="out", batch_size=8, num_generations=8, max_completion_length=8,
            max_steps=1, save_strategy="no", beta=0.1,
        )
        trainer.train()
        template = trainer.processing_class.chat_template
        adapted, tokenizer = load_policy("someone/lora")
        try:
            load_policy("someone/nothing")
        except FileNotFoundError as error:
            print(json.dumps([template, type(adapted).__name__, trainer.state.global_step, str(error)]))
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path / "home"), "CI": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    template, adapted, steps, absent = json.loads(done.stdout.splitlines()[-1])
    assert template.startswith("{% for m in messages %}")
    assert (adapted, steps) == ("PeftModelForCausalLM", 1)
    assert "'someone/nothing' not found" in absent
    fetched = set(hub.fetched)
    for name in ("config.json", "pytorch_model.bin", "chat_template.jinja", "tokenizer.json", "tokenizer.model"):
        assert f"someone/chat/{name}" in fetched
    assert "someone/lora/adapter_model.safetensors" in fetched
    assert not {"someone/ume/pytorch_model.bin", "someone/ume/modeling.py", "someone/ume/chat_template.jinja"} & fetched

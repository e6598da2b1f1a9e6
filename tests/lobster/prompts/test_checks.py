"""Prompts and policies that TRL would train on wrongly, or fail on late: refused in one line, or taken."""

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, EsmConfig, EsmForMaskedLM, GPT2Config, GPT2LMHeadModel

from lobster.model.policies import warn_of_unknown
from lobster.prompts import as_dataset, load_prompts
from lobster.prompts.checks import check_dataset
from lobster.rl_training import create_ume_grpo_trainer

SETTINGS = {
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 8,
    "max_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
}
MESSAGES = [{"role": "user", "content": "CC"}]
WITH_EOS = TemplateProcessing(single="<bos> $A <eos>", special_tokens=[("<bos>", 0), ("<eos>", 1)])
TEMPLATE = "{% for m in messages %}{{ m.content }}<eos>{% endfor %}"
ANSWER = "{% if add_generation_prompt %}O{% endif %}"


def build(policy, ume, prompts, folder, **changes):
    return create_ume_grpo_trainer(policy, ume, prompts, output_dir=folder, **(SETTINGS | changes))


@pytest.fixture
def tokenizer(tiny_policy):
    return AutoTokenizer.from_pretrained(tiny_policy)


@pytest.mark.parametrize("where", ["train_dataset", "eval_dataset"])
def test_a_tokenizer_that_ends_prompts_is_refused(where, tiny_policy, tiny_ume, tokenizer, tmp_path):
    tokenizer.backend_tokenizer.post_processor = WITH_EOS
    message = r"the prompt 'CC' ends with the end token '<eos>'.*add_eos_token = False.*processing_class="
    with pytest.raises(ValueError, match=message):
        build(tiny_policy, tiny_ume, ["CC"] * 4, tmp_path, processing_class=tokenizer)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    prompts = {"train_dataset": ["CC"] * 4, "eval_dataset": {"held out": ["CC"] * 4}} | {where: ["CC<eos>"] * 4}
    with pytest.raises(ValueError, match=rf"{where}.*: the prompt 'CC<eos>' ends with"):
        create_ume_grpo_trainer(
            tiny_policy, tiny_ume, **prompts, output_dir=tmp_path, processing_class=tokenizer, **SETTINGS
        )


def test_texts_of_a_csv_are_what_is_written(tmp_path):
    file = tmp_path / "prompts.csv"
    file.write_text('prompt,suffix,modality,weight\n,NA,amino_acid,1.5\nNAN,,,\n"",NULL,amino_acid,2\n')
    assert load_prompts(file).to_list() == [
        {"prompt": "", "suffix": "NA", "modality": "amino_acid", "weight": 1.5},
        {"prompt": "NAN", "suffix": "", "modality": None, "weight": None},
        {"prompt": "", "suffix": "NULL", "modality": "amino_acid", "weight": 2.0},
    ]


@pytest.mark.parametrize("column", ["prompt", "suffix"])
def test_an_open_attachment_point_is_warned_of(column, caplog):
    rows = {"prompt": "C", "suffix": "", "modality": "SMILES"} | {column: "*C1CCNCC1"}
    check_dataset(Dataset.from_list([rows]), "train_dataset", include_prompt=True)
    assert f"train_dataset: the {column} of row 0, '*C1CCNCC1', has an open attachment point (*)" in caplog.text
    caplog.clear()
    check_dataset(Dataset.from_list([rows | {"modality": "amino_acid"}]), "train_dataset", include_prompt=True)
    assert not caplog.text


def test_a_suffix_that_is_no_text_is_refused(tiny_policy, tiny_ume, tmp_path):
    prompts = {"prompt": ["CC"] * 4, "suffix": [1, 2, 3, 4]}
    with pytest.raises(ValueError, match=r"train_dataset: the suffix of row 0 is 1: expected a text"):
        build(tiny_policy, tiny_ume, prompts, tmp_path, include_prompt=True)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_template_that_ends_prompts_is_refused(stream, tiny_policy, tiny_ume, tokenizer, tmp_path):
    prompts = Dataset.from_dict({"prompt": [MESSAGES] * 4})
    prompts = prompts.to_iterable_dataset() if stream else prompts
    with pytest.raises(ValueError, match="messages for prompts and the policy's tokenizer no chat_template"):
        build(tiny_policy, tiny_ume, prompts, tmp_path, processing_class=tokenizer)
    tokenizer.chat_template = TEMPLATE
    with pytest.raises(ValueError, match=r"ends with the end token '<eos>'.*add_generation_prompt"):
        build(tiny_policy, tiny_ume, prompts, tmp_path, processing_class=tokenizer)
    tokenizer.chat_template = TEMPLATE + ANSWER
    build(tiny_policy, tiny_ume, prompts, tmp_path, processing_class=tokenizer)


def test_another_end_token_of_the_policy_ends_prompts_too_and_completions(tiny_policy, tiny_ume, tokenizer, tmp_path):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_policy)
    model.generation_config.eos_token_id = [1, 5]  # 5 is N
    with pytest.raises(ValueError, match="the prompt 'CN' ends with the end token 'N'"):
        build(model, tiny_ume, ["CN"] * 4, tmp_path, processing_class=tokenizer)
    written = []

    def watch(completion_ids, **columns):
        written.extend(completion_ids)
        return [0.0] * len(completion_ids)

    trainer = build(model, tiny_ume, ["C"] * 4, tmp_path, reward_funcs=watch, max_completion_length=40)
    trainer.train()
    assert any(ids[-1] == 5 for ids in written)
    assert all(token not in (1, 5) for ids in written for token in ids[:-1])


@pytest.mark.parametrize("prompt", ["", "<eos>"])
def test_one_token_that_begins_and_ends_is_no_mistake(prompt, tiny_policy, tiny_ume, tokenizer, tmp_path):
    tokenizer.bos_token = "<eos>"  # as GPT-2 has it
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<eos> $A", special_tokens=[("<eos>", 1)])
    build(tiny_policy, tiny_ume, [prompt] * 4, tmp_path, processing_class=tokenizer)


def test_a_prompt_that_the_policy_does_not_know_is_warned_of(tiny_policy, tiny_ume, tokenizer, tmp_path, caplog):
    build(tiny_policy, tiny_ume, ["CC", "CF", "OFF", "C"], tmp_path)
    assert "the policy does not know all of the prompt 'OFF': 2 of its tokens are <unk>" in caplog.text
    assert caplog.text.count("does not know") == 1
    caplog.clear()
    tokenizer.bos_token = tokenizer.eos_token = tokenizer.pad_token = tokenizer.unk_token  # as GPT-2 has it
    warn_of_unknown(["CF"], [tokenizer("CF").input_ids], tokenizer)
    assert not caplog.text


def test_an_empty_prompt_needs_a_token(tiny_policy, tiny_ume, tokenizer, tmp_path):
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    with pytest.raises(ValueError, match=r"'' becomes no token.*<bos>"):
        build(tiny_policy, tiny_ume, ["C", "", "C", "C"], tmp_path, processing_class=tokenizer)


@pytest.fixture
def gpt2(tokenizer, tmp_path):
    sizes = {"vocab_size": len(tokenizer), "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=1, pad_token_id=2))
    model.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


def test_gpt2_keeps_within_its_positions(gpt2, tiny_ume, tmp_path):
    prompts = ["C"] * 3 + ["C" * 10]
    message = r"'CCCCCCCCCC' has 11 tokens, with max_completion_length=22 more than the policy's 32 positions.*=21"
    with pytest.raises(ValueError, match=message):
        build(gpt2, tiny_ume, prompts, tmp_path, max_completion_length=22)
    build(gpt2, tiny_ume, prompts, tmp_path / "out", max_completion_length=21).train()


def test_another_policys_tokenizer_is_refused(tiny_policy, tiny_ume, tokenizer, tmp_path):
    tokenizer.add_tokens(["F"])
    with pytest.raises(ValueError, match="has the token 7, the policy knows 7: it is another one's tokenizer"):
        build(tiny_policy, tiny_ume, ["CF"] * 4, tmp_path, processing_class=tokenizer)


def test_a_masked_language_model_in_memory_is_no_policy(tiny_ume, tokenizer, tmp_path):
    esm = EsmForMaskedLM(
        EsmConfig(
            vocab_size=33,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            pad_token_id=1,
        )
    )
    with pytest.raises(ValueError, match="the EsmForMaskedLM is of the type esm, which cannot write"):
        build(esm, tiny_ume, ["C"] * 4, tmp_path, processing_class=tokenizer)


ROWS = [{"prompt": "C", "modality": "SMILES"}, {"prompt": "CC", "modality": None}]


@pytest.mark.parametrize(
    "prompts",
    [
        ROWS,
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS, index=[7, 9]),
        {"prompt": ["C", "CC"], "modality": ["SMILES", None]},
        Dataset.from_list(ROWS),
    ],
    ids=["rows", "DataFrame", "indexed", "columns", "Dataset"],
)
def test_tables_are_data_sets(prompts):
    assert as_dataset(prompts, "train_dataset").to_list() == ROWS


@pytest.mark.parametrize("prompts", [["C", "CC"], ("C", "CC"), pd.Series(["C", "CC"], index=[3, 4])])
def test_lists_are_data_sets(prompts):
    assert as_dataset(prompts, "train_dataset").to_dict() == {"prompt": ["C", "CC"]}
    assert as_dataset([MESSAGES], "train_dataset")["prompt"][:] == [MESSAGES]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("prompts.csv", "train_dataset is 'prompts.csv': expected a datasets.Dataset, a pandas DataFrame, or a list"),
        (DatasetDict(train=Dataset.from_list(ROWS)), r"DatasetDict: pass one of its splits, such as \['train'\]"),
        (["C", 1.5], "cannot become columns .*: every prompt is a text"),
        (None, "train_dataset is None: expected"),
        (["C", None], "the prompt of row 1 is None: expected a text"),
        ([1, 2], "the prompt of row 0 is 1: expected a text"),
        ([[], []], r"the prompt of row 0 is \[\]: expected a text"),
    ],
)
def test_what_are_no_prompts_is_said(prompts, message, tiny_policy, tiny_ume, tmp_path):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        build(tiny_policy, tiny_ume, prompts, tmp_path)
    assert "\n" not in str(caught.value)


def test_lists_train_and_evaluate(tiny_policy, tiny_ume, tmp_path):
    trainer = create_ume_grpo_trainer(
        tiny_policy, tiny_ume, pd.Series(["C"] * 4), ["C", "N"], output_dir=tmp_path, **SETTINGS
    )
    trainer.train()
    assert trainer.evaluate()["eval_reward"] >= 0

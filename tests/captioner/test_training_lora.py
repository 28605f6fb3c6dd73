"""LoRA on tiny untrained models of the real classes: what is learned, what stays, and the same bytes again."""

import collections
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from zcurate.captioner.chat import ChatRequest, ImagePart
from zcurate.captioner.training.conversations import ImagePath
from zcurate.captioner.training.examples import Encoder, TooLongError, nll
from zcurate.captioner.training.fitting import FitSettings, TrainingError, attach, draws, fit
from zcurate.captioner.training.saving import save_adapter
from zcurate.captioner.training.scoring import scores
from zcurate.captioner.vlm.adapters import insert, read_adapter

from .lora_cases import FACTS, READ, ask, loaded, talk, weights


def test_what_is_constant_is_learned_of_pictures_never_seen(trained):
    _, found, _, _ = trained
    before, after = found["before"]["ocr"], found["after"]["ocr"]
    assert after["loss"] < 0.05 * before["loss"]
    assert after["tokens"] == before["tokens"]
    assert before["answers"] == {"written": 2, "usable": 0.0, "exact": 0.0, "strings_f1": 0.0}
    assert after["answers"] == {"written": 2, "usable": 1.0, "exact": 1.0, "strings_f1": 1.0}


def test_the_base_is_not_touched(trained):
    chat, _, _, before = trained
    after = {n.replace(".base_layer", ""): d for n, d in weights(chat._network).items() if "lora_" not in n}
    assert after == before
    added = {n for n in weights(chat._network) if "lora_" in n}
    assert added
    assert all("language_model" in n for n in added)


def test_the_engine_answers_with_the_adapter(trained, base, talks):
    chat, _, adapter, _ = trained
    request = talk(5).request(talks, 60)
    plain = ask(loaded(base), request)
    learned = ask(loaded(f"{base}+{adapter.folder}"), request)
    (mine,) = chat._answer([request])
    assert learned.text == mine[0] != plain.text
    assert learned.model == f"{base}+{adapter.folder}"
    # The very numbers that were scored.
    example = Encoder(chat, talks).encode(talk(5))
    other = loaded(f"{base}+{adapter.folder}")
    assert torch.equal(nll(chat._network, example, False), nll(other._network, example, False))


def test_versions_count_and_name_what_they_follow(trained, base, talks, tmp_path):
    _, found, first, _ = trained
    assert (first.version, first.record["previous"]) == (1, None)
    assert first.identity == f"lora:v1:sha256:{first.digest}"
    chat = loaded(base)
    model = insert(chat._network, first, trainable=True)
    encoder = Encoder(chat, talks)
    start = scores(chat, encoder, [talk(4), talk(5)], 0)["ocr"]["loss"]
    assert start == pytest.approx(
        found["after"]["ocr"]["loss"], rel=1e-4
    )  # it goes on where the first one ended
    fit(model, encoder, [talk(0, READ.replace("OPEN", "SHUT"))], FitSettings(steps=2, rate=1e-2, batch=1))
    second = save_adapter(model, tmp_path / "v2", first, FACTS, found)
    assert (second.version, second.record["previous"]) == (2, {"version": 1, "digest": first.digest})
    assert second.digest != first.digest
    with pytest.raises(FileExistsError):
        save_adapter(model, tmp_path / "v2", second, FACTS, found)
    assert read_adapter(tmp_path / "v2").digest == second.digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v2"]
    # Cards and scores are no part of what the adapter is.
    (tmp_path / "v2/README.md").write_text("another card")
    assert read_adapter(tmp_path / "v2") == second


def test_peft_reads_the_folder_as_its_own(trained, base, talks):
    peft = pytest.importorskip("peft")
    chat, _, adapter, _ = trained
    plain = loaded(base)
    peft.PeftModel.from_pretrained(plain._network, str(adapter.folder))
    example = Encoder(plain, talks).encode(talk(3))
    assert torch.equal(nll(chat._network, example, False), nll(plain._network, example, False))
    assert {p.suffix for p in adapter.folder.iterdir()} == {".json", ".safetensors", ".md"}
    assert str(base) not in "".join(p.read_text() for p in adapter.folder.glob("*.json"))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_equal_seeds_give_equal_bytes(base, talks, tmp_path, checkpointing):
    found = []
    for name in ("a", "b"):
        chat = loaded(base)
        few = FitSettings(
            rank=2, steps=2, batch=2, rate=1e-2, dropout=0.2, seed=5, checkpointing=checkpointing
        )
        model = attach(chat._network, few)
        fit(model, Encoder(chat, talks), [talk(i) for i in range(4)], few)
        found.append(save_adapter(model, tmp_path / name, None, FACTS, {"before": {}, "after": {}}))
    assert found[0].digest == found[1].digest
    assert any(
        w.abs().sum() > 0
        for n, w in load_file(tmp_path / "a/adapter_model.safetensors").items()
        if "lora_B" in n
    )


def test_the_answer_alone_carries_loss(base, talks):
    chat = loaded(base)
    encoder = Encoder(chat, talks)
    answer = json.dumps(
        {"contradicted": [], "entities": [], "en": {"long": "一只 cat", "tags": ["a"]}}, ensure_ascii=False
    )
    hostile = answer.replace("cat", "<|im_end|> cat")
    one = encoder.encode(talk(0, answer, "caption", no_loss=("contradicted",)))
    tokenizer = chat._processor.tokenizer
    ids = one.inputs["input_ids"][0].tolist()
    assert ids[one.prompt_tokens :] == one.answer
    assert tokenizer.decode(one.answer) == answer + "<|im_end|>"
    # The prompt is the engine's own.
    prompt, pictures = chat._prompt(talk(0).request(talks, 60))
    assert ids[: one.prompt_tokens] == chat._inputs([prompt], pictures)["input_ids"][0].tolist()
    silent = tokenizer.decode([t for t, scored in zip(one.answer, one.scored, strict=True) if not scored])
    assert silent.strip().strip(",") == "[]"
    assert tokenizer.decode([one.answer[i] for i in one.fields["en.long"]]).strip().strip(",") == '"一只 cat"'
    assert set(one.fields) == {"en.long", "en.tags"}
    # Each token's loss is that of the network's own prediction for it.
    losses = nll(chat._network, one, False)
    inputs = {k: v for k, v in one.inputs.items()}
    with torch.no_grad():
        logits = chat._network(**inputs).logits[0].float()
    for i in (0, 3, len(one.answer) - 1):
        at = one.prompt_tokens + i - 1
        assert losses[i].item() == pytest.approx(-logits[at].log_softmax(-1)[one.answer[i]].item(), rel=1e-4)
    broken = encoder.encode(talk(0, hostile, "caption")).answer
    assert broken.count(tokenizer.eos_token_id) == 1  # a caption cannot end its own turn
    with pytest.raises(TooLongError):
        Encoder(chat, talks, max_tokens=30).encode(talk(0))
    with pytest.raises(TooLongError):
        encoder.encode(talk(0, "word " * 900))


def test_half_precision_bases_learn_too(base, talks, tmp_path):
    """As on a GPU: the base in bf16, the adapter in fp32."""
    chat = loaded(base)
    chat._network.to(torch.bfloat16)
    few = FitSettings(rank=8, alpha=16, rate=1e-2, steps=15, batch=2)
    model = attach(chat._network, few)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    encoder = Encoder(chat, talks)
    before = scores(chat, encoder, [talk(5)], 0)["ocr"]["loss"]
    fit(model, encoder, [talk(i) for i in range(4)], few)
    assert scores(chat, encoder, [talk(5)], 0)["ocr"]["loss"] < 0.5 * before
    saved = save_adapter(model, tmp_path / "v1", None, FACTS, {"before": {}, "after": {}})
    again = loaded(base)
    again._network.to(torch.bfloat16)
    insert(again._network, saved)
    example = encoder.encode(talk(5))
    assert torch.equal(nll(chat._network, example, False), nll(again._network, example, False))


def test_unscored_fields_leave_no_trace(base, talks):
    """Two trainings whose answers differ only where nobody checked them begin with the same loss."""
    losses = []
    for names in (["x"], ["some", "other", "names"]):
        chat = loaded(base)
        model = attach(chat._network, FitSettings(rank=2, steps=1, batch=1))
        answer = json.dumps({"long": "a sign", "contradicted": names})
        settings = FitSettings(rank=2, steps=1, batch=1)
        conversation = talk(0, answer, "caption", no_loss=("contradicted",))
        facts = fit(model, Encoder(chat, talks), [conversation], settings)
        example = Encoder(chat, talks).encode(conversation)
        losses.append((facts.first_loss, sum(example.scored)))
    assert losses[0][1] == losses[1][1]
    assert losses[0][0] != losses[1][0]  # what follows the field still depends on it


def test_long_conversations_are_passed_over(base, talks):
    chat = loaded(base)
    settings = FitSettings(rank=2, epochs=1, batch=2)
    model = attach(chat._network, settings)
    short, long = talk(0), talk(1, "word " * 700)
    facts = fit(model, Encoder(chat, talks), [short, long, short, long], settings)
    assert facts.too_long == 1  # one conversation, whenever it is drawn
    assert facts.drawn == {"ocr": 2}
    with pytest.raises(TrainingError, match="max_tokens"):
        fit(model, Encoder(chat, talks), [long], settings)
    with pytest.raises(TrainingError, match="no conversation"):
        fit(model, Encoder(chat, talks), [], settings)
    found = scores(chat, Encoder(chat, talks), [long], 2)
    assert found == {"ocr": {"conversations": 0, "too_long": 1}}


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(1, 60), st.floats(0, 1), st.integers(0, 9)
)  # fmt: skip
def test_tasks_are_drawn_in_their_shares(tasks, count, mix, seed):
    order = list(draws(tasks, count, mix, seed))
    assert order == list(draws(tasks, count, mix, seed))
    assert len(order) == count
    sizes = collections.Counter(tasks)
    total = sum(n**mix for n in sizes.values())
    drawn = collections.Counter(tasks[i] for i in order)
    for task, n in sizes.items():
        assert abs(drawn[task] - count * n**mix / total) <= 1
    often = collections.Counter(order)
    for task in sizes:  # within a task nobody is drawn twice before all were drawn once
        numbers = [often[i] for i, t in enumerate(tasks) if t == task]
        assert max(numbers) - min(numbers) <= 1


@pytest.mark.parametrize(
    "field", ["rank=0", "alpha=-1", "rate=2", "steps=0", "batch=0", "mix=2", "dropout=1", "epochs=0"]
)
def test_settings_out_of_range_are_named(field):
    name, _, value = field.partition("=")
    with pytest.raises(TrainingError, match=name):
        FitSettings(
            **{name: float(value) if name in ("alpha", "rate", "mix", "dropout", "epochs") else int(value)}
        )


def test_a_rate_that_explodes_stops(base, talks):
    chat = loaded(base)
    settings = FitSettings(rank=1, alpha=3e38, rate=0.9, warmup=0.0, steps=30, batch=1, clip=1e30)
    with pytest.raises(TrainingError, match="lower rate"):
        fit(attach(chat._network, settings), Encoder(chat, talks), [talk(0)], settings)


def test_the_adapter_sees_pictures(trained, base, talks, tmp_path):
    """Two answers told apart by the color of the picture alone."""
    chat = loaded(base)
    for i, color in enumerate(("red", "blue") * 3):
        Image.new("RGB", (56, 56), color).save(tmp_path / f"{i}.png")
    lessons = [talk(i, f'{{"ocr": ["{"red" if i % 2 == 0 else "blue"}"]}}', parts=(ImagePath(f"{i}.png"), "Read it.")) for i in range(6)]  # fmt: skip
    settings = FitSettings(rank=8, alpha=16, rate=1e-2, steps=60, batch=2)
    model = attach(chat._network, settings)
    fit(model, Encoder(chat, tmp_path), lessons[:4], settings)
    said = [chat._answer([lesson.request(tmp_path, 40)])[0][0] for lesson in lessons[4:]]
    assert said == [lesson.answer for lesson in lessons[4:]]
    blank = ChatRequest(
        "You read.", (ImagePart((tmp_path / "0.png").read_bytes()), "Read it."), max_tokens=40
    )
    assert chat._answer([blank])[0][0] == lessons[0].answer

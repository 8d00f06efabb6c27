"""Training on texts: classes, pairs and scored pairs, all through the one loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders.tiny_text import saved
from mrl.disk import read_tensors
from mrl.encoders import load
from mrl.encoders.spec import EncoderSpec
from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.training import Checkpoints, PairSpec, TrainSpec, embed, from_texts, train
from mrl.training.feed import Feed
from mrl.training.gradients import find_gradients
from mrl.training.material import material
from mrl.training.model import Model
from mrl.training.team import Team
from training.phrases import DATA, NESTING, classes, pairs, scored, spec, still
from training.pictures import TINY, tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A model without dropout."""
    return still(tmp_path_factory.mktemp("still") / "tiny")


@pytest.mark.parametrize("task", DATA)
def test_every_task_learns_at_every_dim(model, tmp_path, task):
    run = train(
        spec(model, task, epochs=12), DATA[task](96), tmp_path / "run", validation=DATA[task](48, 7), quiet=True
    )
    first, last = run.log[1], run.log[-1]
    assert set(last["loss"]) == {"4", "8", "16"}
    assert all(last["loss"][dim] < first["loss"][dim] for dim in last["loss"])
    least = {"classify": 0.8, "pairs": 2 * 0.06, "scored-pairs": 0.8}  # a positive is one of 48, chance gives 0.06
    assert min(last["validation"].values()) > least[task]
    assert run.card.model == f"tiny-{'mrl' if task == 'classify' else task}-16"
    assert run.encoder.encode(["a man runs"], 8).shape == (1, 8)
    assert np.array_equal(load(run.path).encode(["a man runs"]), run.encoder.encode(["a man runs"]))
    assert run.finished


def test_classes_have_heads_and_pairs_have_none(model, tmp_path):
    run = train(spec(model, "classify", epochs=1), classes(), tmp_path / "a", quiet=True)
    assert run.head.classes == ("food", "dogs", "vectors")
    run = train(spec(model, "pairs", epochs=1), pairs(), tmp_path / "b", quiet=True)
    assert run.classes == ()
    assert not list(run.path.glob("head-*"))
    with pytest.raises(InputError, match="was trained on pairs, so it has no classifiers; use its encoder"):
        _ = run.head
    assert run.verify() == 1 + 0 * len(run.names) or run.verify() >= 1


def test_the_log_of_pairs_tells_the_scale(model, tmp_path):
    run = train(spec(model, "pairs"), pairs(), tmp_path / "run", quiet=True)
    assert run.log[0]["texts"] == 48
    scales = [line["scale"] for line in run.log if line["event"] == "epoch"]
    assert len(scales) == 2
    assert scales[0] != 20.0
    fixed = train(spec(model, "pairs", pairs=PairSpec(learn_scale=False)), pairs(), tmp_path / "fixed", quiet=True)
    assert all(line["scale"] == pytest.approx(20.0) for line in fixed.log if "scale" in line)


def test_a_scale_that_explodes_is_kept_and_said(model, tmp_path):
    wild = spec(model, "pairs", head_lr=1.0, pairs=PairSpec(largest_scale=21.0))
    run = train(wild, pairs(), tmp_path / "run", quiet=True)
    notes = [line["text"] for line in run.log if line["event"] == "note"]
    assert notes in ([], ["the scale of similarities grew beyond 21 and is kept there"]) or len(notes) == 1
    assert all(line["scale"] <= 21.0 + 1e-4 for line in run.log if "scale" in line)


@pytest.mark.parametrize("settings", [{"loss": "siglip"}, {"symmetric": True}, {"margin": 0.1}, {"scale": 5.0}])
def test_the_settings_of_pairs(model, tmp_path, settings):
    run = train(spec(model, "pairs", pairs=PairSpec(**settings)), pairs(negatives=1), tmp_path / "run", quiet=True)
    assert np.isfinite(list(run.log[-1]["loss"].values())).all()


def gradients(specification, data, accumulate):
    """All gradients of the first batch, worked on in parts."""
    specification, team = replace(specification, accumulate=accumulate), Team("cpu")
    rows = material(specification, data, None)
    model = Model.new(specification, rows, team)
    model.trained()
    model.training()
    feed = Feed(rows.source(model.encoder), team, accumulate, 0)
    batch = next(feed.epoch(1, {}))
    seen = find_gradients(model, model.trainee(), team, batch, (0, 0, 0))
    assert len(batch.pieces) == accumulate
    losses = sum(each.loss.levels * each.rows for each in seen) / sum(each.rows for each in seen)
    return losses, {name: p.grad for name, p in model.trainee().named_parameters() if p.grad is not None}


@pytest.mark.parametrize("task", DATA)
@pytest.mark.parametrize("parts", [2, 3])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(quiet, task, parts):
    """Of pairs too, whose rows are compared with each other: only a part at a time goes through the network."""
    settings = spec(quiet, task, precision="float64", batch_size=10)
    data = pairs(20, negatives=2) if task == "pairs" else DATA[task](20)
    losses, whole = gradients(settings, data, 1)
    others, cut = gradients(settings, data, parts)
    torch.testing.assert_close(losses, others, rtol=1e-10, atol=1e-12)
    assert whole.keys() == cut.keys()
    for name, grad in whole.items():
        torch.testing.assert_close(grad, cut[name], rtol=1e-9, atol=1e-12, msg=name)


def test_the_scale_is_among_what_learns(quiet):
    _, found = gradients(spec(quiet, "pairs", precision="float64"), pairs(), 2)
    assert float(found["objective.scale.log"]) != 0


def test_texts_that_are_the_same_are_no_negatives(quiet):
    """With one positive for all, InfoNCE has no negatives left, and so nothing to learn."""
    data = from_texts([f"man {word}" for word in "eat food dog runs fast nested short vector".split()], ["a dog"] * 8)
    losses, _ = gradients(spec(quiet, "pairs", batch_size=8), data, 1)
    torch.testing.assert_close(losses, torch.zeros_like(losses))


@pytest.mark.parametrize("task", DATA)
def test_resumed_runs_end_in_the_same_bits(model, tmp_path, task):
    settings = spec(model, task, epochs=3, accumulate=2, checkpoints=Checkpoints(every_steps=2))
    whole = train(settings, DATA[task](), tmp_path / "whole", quiet=True)

    class StopError(Exception):
        pass

    from mrl.training.loop import Loop

    class Stopping(Loop):
        def _commit(self, *args, **kwargs):
            super()._commit(*args, **kwargs)
            if self.standing.step == 4:
                raise StopError

    from mrl.training import loop as module

    real = module.Loop
    module.Loop = Stopping
    try:
        with pytest.raises(StopError):
            train(settings, DATA[task](), tmp_path / "run", quiet=True)
    finally:
        module.Loop = real
    resumed = train(settings, DATA[task](), tmp_path / "run", resume=True, quiet=True)
    for name in whole.names:
        if name.startswith("encoder"):
            mine, theirs = (read_tensors(run.path / name, "mrl-encoder")[0] for run in (resumed, whole))
            assert {k: v.tobytes() for k, v in mine.items()} == {k: v.tobytes() for k, v in theirs.items()}
    drop = ("seconds", "rows_per_second")
    logs = [[{k: v for k, v in line.items() if k not in drop} for line in run.log] for run in (resumed, whole)]
    assert logs[0] == logs[1]


def test_prompts_stand_before_queries_and_documents(model, tmp_path):
    encoder = EncoderSpec(str(model), query_prompt="query : ", document_prompt="text : ")
    run = train(replace(spec(model), encoder=encoder), pairs(), tmp_path / "run", quiet=True)
    assert run.encoder.prompts == {"query": "query : ", "document": "text : "}
    asked = run.encoder.encode(["a dog"], prompt="query")
    assert np.allclose(asked, run.encoder.encode(["query : a dog"]), atol=1e-6)


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        ("pairs", classes, r"task=pairs takes an anchor and its positive \(and hard negatives\), got 1 column"),
        ("scored-pairs", pairs, "task=scored-pairs takes two columns of texts and their scores, got no scores"),
        ("classify", pairs, "task=classify takes one column of texts, got 2; name one"),
        ("pairs", lambda: pairs(1), "training needs at least two rows, got 1; add some"),
        (
            "classify",
            lambda: from_texts(["a", "b"]),
            "these texts have no labels; training to classify needs one for each",
        ),
        ("classify", lambda: from_texts(["a", "b"], labels=[1, 1]), "training needs at least two classes, got one"),
        ("pairs", tiny, "task=pairs is learnt from texts, and these data are pictures; name columns of texts"),
    ],
)
def test_data_of_another_task(model, tmp_path, task, data, message):
    with pytest.raises(InputError, match=message):
        train(spec(model, task), data(), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_batches_too_small_to_compare(model, tmp_path):
    with pytest.raises(InputError, match="a batch of 1 pairs leaves nothing to compare them with in 1 processes"):
        train(spec(model, batch_size=1), pairs(), tmp_path / "run", quiet=True)


def test_validation_of_another_kind(model, tmp_path):
    with pytest.raises(InputError, match="the training data are texts, the validation data are not"):
        train(spec(model, "classify"), classes(), tmp_path / "run", validation=tiny(), quiet=True)
    with pytest.raises(InputError, match="among a single positive every anchor finds its own"):
        train(spec(model), pairs(), tmp_path / "run", validation=pairs(1), quiet=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"task": "pairs"},
            "task=pairs is learnt from texts, and the residual network takes images; name a text model",
        ),
        ({"task": "answer"}, "unknown task 'answer'; known are classify, pairs, scored-pairs"),
        ({"pairs": PairSpec(scale=5)}, "the settings of pairs say nothing about task=classify; leave them out"),
        ({"task": "pairs", "head": "mrl-e"}, "task=pairs trains no classifiers, got head=mrl-e; leave head out"),
        ({"task": "pairs", "label_smoothing": 0.1}, "label_smoothing is a setting of classifiers, got 0.1"),
    ],
)
def test_settings_of_another_task(settings, message):
    with pytest.raises(InputError, match=message):
        TrainSpec(Nesting((2, 4)), **settings)


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ("pairs", {"loss": "cosent"}, "loss=cosent is not one of task=pairs: choose infonce or siglip"),
        ("scored-pairs", {"loss": "siglip"}, "loss=siglip is not one of task=scored-pairs: choose cosent or cosine"),
        (
            "pairs",
            {"loss": "siglip", "symmetric": True},
            "symmetric and margin are settings of infonce, got loss=siglip",
        ),
        (
            "scored-pairs",
            {"loss": "cosine", "scale": 2.0},
            "loss=cosine compares similarities as they are, got scale=2",
        ),
        ("pairs", {"scale": 0.0}, "scale must be > 0"),
        ("pairs", {"scale": 200.0}, "scale must be > 0 and ≤ 100.0, got 200.0"),
        ("pairs", {"margin": -0.1}, "margin must be ≥ 0"),
    ],
)
def test_settings_of_pairs_that_cannot_be(task, settings, message):
    with pytest.raises(InputError, match=message):
        spec("model", task, pairs=PairSpec(**settings))


def test_rates_depend_on_what_was_learnt_before():
    assert TrainSpec(NESTING).lr == TrainSpec(NESTING).head_lr == 0.003
    tuned = TrainSpec(NESTING, task="pairs", encoder=EncoderSpec("some/model"))
    assert (tuned.lr, tuned.head_lr) == (5e-5, 0.003)
    assert TrainSpec(NESTING, encoder=EncoderSpec("some/model", tune="head")).lr == 0.003
    assert TrainSpec.from_json(tuned.to_json()) == tuned


def test_texts_become_a_table(model, tmp_path):
    run = train(spec(model, "classify", epochs=1), classes(), tmp_path / "run", quiet=True)
    data = classes(30, 5)
    table = embed(run, data, tmp_path / "table", batch_size=8)
    np.testing.assert_allclose(table.vectors, run.encoder.encode(data.views[0], raw=True), atol=1e-6)
    assert table.labels.tolist() == data.labels.tolist()
    assert table.label_names == run.classes
    with pytest.raises(InputError, match="encodes texts, and these data are images; give it texts"):
        embed(run, tiny(), tmp_path / "other")
    pictures = train(replace(TINY, epochs=1), tiny(), tmp_path / "pictures", quiet=True)
    with pytest.raises(InputError, match="encodes images, and these data are texts; give it images"):
        embed(pictures, data, tmp_path / "other")


def test_a_sentence_transformers_folder_embeds(model, tmp_path):
    from mrl.encoders import export

    run = train(spec(model, epochs=1), pairs(), tmp_path / "run", quiet=True)
    export(run.encoder, tmp_path / "folder")
    texts = from_texts(["a man", "the dog"], ids=["x", "y"])
    table = embed(tmp_path / "folder", texts, tmp_path / "table", prompt="query")
    assert table.ids.tolist() == ["x", "y"]
    np.testing.assert_allclose(table.vectors, run.encoder.encode(texts.views[0], raw=True, prompt="query"), atol=1e-5)


@pytest.mark.parametrize("task", ["pairs", "scored-pairs"])
def test_a_network_of_which_nothing_is_tuned_is_refused(model, tmp_path, task):
    """Else the scale alone would learn."""
    head = EncoderSpec(str(model), tune="head")
    with pytest.raises(
        InputError, match=r"tune=head leaves no weight of .* to train, as it has no projection; .* 16 for"
    ):
        train(replace(spec(model, task), encoder=head), DATA[task](), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    projected = replace(spec(model, task, epochs=1, width=20), encoder=head)
    run = train(projected, DATA[task](), tmp_path / "wide", quiet=True)
    assert run.log[0]["trained"] == 16 * 20 + (task == "pairs")


def test_scores_that_teach_nothing_are_refused(model, tmp_path):
    good, same = scored(), replace(scored(), scores=np.ones(48))
    with pytest.raises(InputError, match="all scores of the training data are 1, so no pair ranks before another"):
        train(spec(model, "scored-pairs"), same, tmp_path / "run", quiet=True)
    with pytest.raises(InputError, match="all scores of the validation data are 1"):
        train(spec(model, "scored-pairs"), good, tmp_path / "run", validation=same, quiet=True)
    stars, cosine = replace(good, scores=good.scores * 5), PairSpec(loss="cosine")
    with pytest.raises(InputError, match=r"loss=cosine brings similarities, .* go from 0 to 5; divide them"):
        train(spec(model, "scored-pairs", pairs=cosine), stars, tmp_path / "run", quiet=True)
    train(spec(model, "scored-pairs", epochs=1), stars, tmp_path / "ranked", quiet=True)


def test_texts_that_are_cut_are_counted_in_every_epoch_and_said(model, tmp_path, capsys):
    short = EncoderSpec(str(model), max_length=5)  # three words between [CLS] and [SEP]
    texts = ["a man eat food a", "a man", "dog runs fast .", "dog runs"], ["man", "man eat food a", "dog", "fast"]
    settings = replace(spec(model, epochs=2, batch_size=2, log_every=1), encoder=short)
    run = train(settings, from_texts(*texts), tmp_path / "run", validation=from_texts(*texts))
    assert [line["cut_texts"] for line in run.log if line["event"] == "epoch"] == [3, 3]
    assert sum(line.get("cut_texts", 0) for line in run.log if line["event"] == "step") == 6
    assert " ".join(capsys.readouterr().err.split()).count("3 texts were longer than max_length and were cut") == 2
    whole = train(spec(model, epochs=1), from_texts(*texts), tmp_path / "whole", quiet=True)
    assert not any("cut_texts" in line for line in whole.log)


def test_a_table_is_of_one_prompt(model, tmp_path):
    prompts = EncoderSpec(str(model), query_prompt="query : ", document_prompt="text : ")
    run = train(replace(spec(model, epochs=1), encoder=prompts), pairs(), tmp_path / "run", quiet=True)
    data = from_texts(["a man", "the dog", "short"], ids=["x", "y", "z"])
    first = data.part(np.arange(2))
    with pytest.raises(InputError, match="there is no prompt named 'answer'"):
        embed(run, first, tmp_path / "table", prompt="answer")
    assert not (tmp_path / "table").exists()
    assert embed(run, first, tmp_path / "table", prompt="query").prompt == "query : "
    said = "holds vectors of texts behind the prompt 'query : ', got '{}'; embed these texts with the same prompt"
    for prompt, how in (("document", {"add": True}), ("document", {"resume": True}), (None, {"add": True})):
        with pytest.raises(InputError, match=said.format("text : " if prompt else "")):
            embed(run, data if "add" in how else first, tmp_path / "table", prompt=prompt, **how)
    table = embed(run, data, tmp_path / "table", prompt="query", add=True)
    assert (table.ids.tolist(), table.prompt) == (["x", "y", "z"], "query : ")
    np.testing.assert_allclose(table.vectors, run.encoder.encode(data.views[0], raw=True, prompt="query"), atol=1e-6)
    assert embed(run, data, tmp_path / "plain").prompt == ""


def test_rows_of_several_texts_are_no_table(model, tmp_path):
    run = train(spec(model, epochs=1), pairs(), tmp_path / "run", quiet=True)
    with pytest.raises(InputError, match="a table has a vector for each row, and these rows have 2 texts; give one"):
        embed(run, pairs(5), tmp_path / "table")


def test_validation_data_may_lack_classes(model, tmp_path):
    """As those of images may; a class that is not learnt is never hit."""
    one, none = (from_texts(["a dog", "dog runs"], labels=[0, 0], classes=(name,)) for name in ("dogs", "cows"))
    settings = spec(model, "classify", epochs=20)
    for number, (held_out, value) in enumerate(((one, 1.0), (none, 0.0))):
        run = train(settings, classes(), tmp_path / f"{number}", validation=held_out, quiet=True)
        assert run.log[-1]["validation"]["16"] == value


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_written(model, tmp_path):
    prompts = EncoderSpec(str(model), max_length=4, query_prompt="query : text nested")
    with pytest.raises(InputError, match="has 6 tokens and leaves no room for a text within max_length=4; shorten it"):
        train(replace(spec(model), encoder=prompts), pairs(), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()

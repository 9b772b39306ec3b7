"""An encoder out of another run: its weights are really those, stay bit-equal where frozen, and must fit."""

import pytest
import torch
from toy import toy_clouds, toy_config

from pellucid.errors import PellucidError
from pellucid.files import read_json, read_tensors
from pellucid.spec import DataSpec
from pellucid.targets import Targets
from pellucid.training import RunConfig, load_model, train
from pellucid.training.config import merge
from pellucid.training.encoders import Pretrained, weights_digest

SPEC = DataSpec.of(toy_clouds(), Targets.of("binary"), category_sizes=(2,))


def config(name="lri-gaussian", **over):
    base = toy_config(name, warmup=0, epochs=2).model_dump(mode="json")
    return RunConfig.parse(merge(merge(base, {"method": {"scale": 1.0}}), over))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A run that learned to denoise."""
    folder = tmp_path_factory.mktemp("pre") / "run"
    train(config("erm", objective={"name": "denoising"}), toy_clouds(seed=3), folder, SPEC, progress=False)
    return folder


def encoder_of(folder):
    return {k: v for k, v in read_tensors(folder / "model.safetensors")[0].items() if k.startswith("encoder.")}


@pytest.mark.parametrize("method", ["erm", "lri-gaussian", "pointmask"])
def test_a_frozen_encoder_stays_bit_equal(pretrained, tmp_path, method):
    frozen = config(method, encoder={"from": str(pretrained), "freeze": True})
    run = train(frozen, toy_clouds(), tmp_path / "run", SPEC, progress=False)
    before, after = encoder_of(pretrained), encoder_of(run.folder)
    for name, value in after.items():
        assert torch.equal(value, before[name.replace("second_", "")]), name
    other = train(config(method), toy_clouds(), tmp_path / "other", SPEC, progress=False)
    assert not torch.equal(encoder_of(other.folder)["encoder.layers.0.message.weight"],
                           before["encoder.layers.0.message.weight"])
    about = read_json(run.folder / "provenance.json")["encoder"]
    assert about == {"from": str(pretrained), "freeze": True, "objective": "denoising", "length": about["length"],
                     "digest": weights_digest({k.removeprefix("encoder."): v for k, v in before.items()})}
    model, again, spec = load_model(run.folder)
    assert again == frozen
    assert model.encoder.length_scale == pytest.approx(about["length"])
    assert spec.inputs.neighbor_distance == about["length"]
    assert all(p.requires_grad for p in model.parameters())


def test_fine_tuning_starts_from_the_weights(pretrained, tmp_path):
    slow = config("erm", encoder={"from": str(pretrained)}, training={"learning_rate": 1e-7, "epochs": 1})
    run = train(slow, toy_clouds(), tmp_path / "run", SPEC, progress=False)
    before, after = encoder_of(pretrained), encoder_of(run.folder)
    for name in (n for n in after if n.endswith(".weight")):
        torch.testing.assert_close(after[name], before[name], atol=1e-4, rtol=0)
    assert any(not torch.equal(after[n], before[n]) for n in after)


def test_a_resumed_run_ends_like_one_that_was_not_stopped(pretrained, tmp_path, monkeypatch):
    frozen = config("erm", encoder={"from": str(pretrained), "freeze": True})
    whole = train(frozen, toy_clouds(), tmp_path / "whole", SPEC, progress=False)
    from pellucid.training.module import TrainingModule

    ended, stop = TrainingModule.on_train_epoch_end, [True]

    def once(self):
        if self.current_epoch == 1 and stop:
            stop.pop()
            raise KeyboardInterrupt
        ended(self)

    monkeypatch.setattr(TrainingModule, "on_train_epoch_end", once)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(frozen, toy_clouds(), tmp_path / "run", SPEC, progress=False)
    run = train(frozen, toy_clouds(), tmp_path / "run", SPEC, progress=False)
    ours, theirs = (read_tensors(r.folder / "model.safetensors")[0] for r in (run, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(("over", "match"), [
    ({"backbone": {"hidden": 8}}, r"expected backbone\.hidden=16 of the encoder in .*, got 8"),
    ({"backbone": {"name": "dgcnn"}}, r"expected backbone\.name=egnn"),
    ({"backbone": {"length_scale": 2.0}}, r"expected lengths by .* got 2; set backbone\.length_scale"),
    ({"encoder": {"freeze": True}, "training": {"freeze_classifier": True, "warmup": 1},
      "method": {"name": "lri-bernoulli", "options": {"shared": False}}},
     "encoder.freeze or training.freeze_classifier"),
    ({"encoder": {"from": "nowhere"}}, "expected encoder.from to be the folder of a finished run, got nowhere"),
])
def test_what_does_not_fit_is_refused(pretrained, tmp_path, over, match):
    with pytest.raises(PellucidError, match=match):
        train(config("erm", **merge({"encoder": {"from": str(pretrained)}}, over)), toy_clouds(), tmp_path / "run",
              SPEC, progress=False)
    assert not (tmp_path / "run").exists()


def test_other_inputs_are_refused(pretrained):
    given = Pretrained.open(pretrained)
    other = DataSpec.of(toy_clouds(), Targets.of("binary"), category_sizes=(3,))
    with pytest.raises(PellucidError, match=r"expected data with category_sizes=\(2,\).*got \(3,\)"):
        given.adopt(config("erm"), other)

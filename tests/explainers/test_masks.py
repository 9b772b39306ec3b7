"""BernMask and BernMask-P against their losses written out by hand."""

import pytest
import torch
import torch.nn.functional as F
from toy import toy_clouds, toy_config

from pellucid.errors import PellucidError
from pellucid.explainers import explainers
from pellucid.explainers.masks import agreement_loss, mask_entropy, mean_per_cloud
from pellucid.neighbors import knn
from pellucid.randomness import CloudRandom
from pellucid.spec import DataSpec
from pellucid.targets import Target, Targets
from pellucid.training import build
from pellucid.training.model import measured


def model_for(clouds, backbone="egnn"):
    torch.manual_seed(0)
    config = toy_config("erm", backbone)
    spec = measured(DataSpec.of(clouds, Targets.of("binary"), category_sizes=(2,)), clouds, config)
    return build(config, spec).eval()


def test_the_losses_are_the_textbook_ones():
    logits, own = torch.randn(5, 2), torch.randn(5, 2)
    p, q = own.sigmoid(), logits.sigmoid()
    explained = torch.tensor([0, 1, 1, 0, 1])

    def of_each(values):
        return values.gather(1, explained[:, None]).squeeze(1)

    expected = of_each(-(p * q.log() + (1 - p) * (1 - q).log()))
    torch.testing.assert_close(agreement_loss(Targets.of("binary", 2), logits, own, explained), expected)
    expected = -(own.softmax(1) * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(agreement_loss(Targets.of("multiclass", 2), logits, own, explained), expected)
    torch.testing.assert_close(agreement_loss(Targets.of("regression", 2), logits, own, explained), of_each(F.mse_loss(
        logits, own, reduction="none")))
    logit = torch.tensor([-40.0, -1.0, 0.0, 2.0, 40.0])
    expected = torch.distributions.Bernoulli(logits=logit).entropy()
    torch.testing.assert_close(mask_entropy(logit), expected, atol=1e-6, rtol=1e-5)


def test_of_mixed_targets_only_the_one_that_is_asked_about_must_agree():
    both = Targets((Target("logS", "regression", spread=7.0), Target("toxic"),
                    Target("colour", "multiclass", classes=("red", "blue"))))
    logits, own = torch.randn(4, 4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64)
    explained = torch.tensor([0, 1, 2, 3])
    p, q = own[1, 1].sigmoid(), logits[1, 1].sigmoid()
    colours = [-(own[i, 2:].softmax(0) * logits[i, 2:].log_softmax(0)).sum() for i in (2, 3)]
    expected = torch.stack([(logits[0, 0] - own[0, 0])**2, -(p * q.log() + (1 - p) * (1 - q).log()), *colours])
    torch.testing.assert_close(agreement_loss(both, logits, own, explained), expected)
    logits.requires_grad_()
    (grad,) = torch.autograd.grad(agreement_loss(both, logits, own, explained).sum(), logits)
    assert ((grad != 0) == torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]).bool()).all()


def test_means_of_clouds_count_each_cloud_once():
    clouds = toy_clouds(4)
    values = torch.arange(clouds.points).float()
    expected = torch.stack([values[a:b].mean() for a, b in zip(clouds.ptr, clouds.ptr[1:], strict=False)])
    torch.testing.assert_close(mean_per_cloud(values, clouds), expected)


@pytest.mark.parametrize("backbone", ["egnn", "dgcnn", "point_transformer"])
def test_a_batch_of_clouds_gives_what_each_cloud_alone_gives(backbone):
    clouds = toy_clouds(6)
    model = model_for(clouds, backbone)
    explainer = explainers["bernmask"](steps=20)
    together = explainer.explain(model, clouds)
    alone = explainer.explain(model, clouds, batch_size=1)
    torch.testing.assert_close(together.importance, alone.importance, atol=2e-4, rtol=1e-3)


def test_masks_may_start_by_the_size_of_the_batch():
    """w ~ N(1, 2 / N), N the points of the batch: seen before a step of no length has moved them."""
    clouds = toy_clouds(40)
    model = model_for(clouds)
    normal = CloudRandom(clouds, 3).normal(clouds.sizes, dtype=torch.float32)
    counts = {"batch": torch.full((clouds.points,), clouds.points), "cloud": clouds.sizes[clouds.batch]}
    for start_by, count in counts.items():
        got = explainers["bernmask"](steps=1, lr=1e-12, start_by=start_by).explain(model, clouds, seed=3).importance
        torch.testing.assert_close(got, (1 + (2 / count).sqrt() * normal).sigmoid())
    with pytest.raises(PellucidError, match="start_by to be cloud or batch"):
        explainers["bernmask"](start_by="set")


def test_the_size_loss_may_be_of_the_probability():
    """By the sum written out; with it the gradient of the size loss knows nothing of what was drawn."""
    clouds = toy_clouds(6)
    model, table = model_for(clouds), knn(clouds.pos, clouds.ptr, 3)
    explainer = explainers["bernmask-p"](size=0.7, entropy=0.0, size_of="probability")
    logit = torch.randn(clouds.points, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask, own = torch.rand(clouds.points, generator=torch.Generator().manual_seed(1)), torch.zeros(len(clouds), 1)
    explained = torch.zeros(len(clouds), dtype=torch.int64)
    agree = agreement_loss(model.targets, model.logits(clouds, table, point_weight=mask), own, explained)
    means = [logit.sigmoid()[a:b].mean() for a, b in zip(clouds.ptr[:-1], clouds.ptr[1:], strict=True)]
    got = explainer.loss(model, clouds, table, logit, mask, own, explained, logit.sigmoid())
    torch.testing.assert_close(got, agree + 0.7 * torch.stack(means))
    sampled = explainer.loss(model, clouds, table, logit, mask, own, explained)
    torch.testing.assert_close(sampled, agree + 0.7 * mean_per_cloud(mask, clouds))
    with pytest.raises(PellucidError, match="size_of to be sample or probability"):
        explainers["bernmask-p"](size_of="mask")


@pytest.mark.parametrize("size_of", ["sample", "probability"])
def test_each_size_loss_trains_the_mask_network_by_its_own_values(size_of, monkeypatch):
    clouds, model = toy_clouds(12), Marked()
    explainer = explainers["bernmask-p"](epochs=1, batch_size=4, size_of=size_of)
    given, plain = [], explainer.loss
    monkeypatch.setattr(explainer, "loss", lambda *a: given.append((a[3], a[-1])) or plain(*a))
    explainer.fit(model, clouds)
    for logit, sized in given:
        assert sized is None if size_of == "sample" else torch.equal(sized, logit.sigmoid())
    assert given


def test_bernmask_equals_adam_on_the_loss_written_out():
    clouds = toy_clouds(1)
    model = model_for(clouds)
    got = explainers["bernmask"](size=0.3, entropy=0.2, lr=0.05, steps=15).explain(model, clouds, seed=3).importance
    w = 1 + (2 / clouds.points) ** 0.5 * CloudRandom(clouds, 3).normal(clouds.sizes, dtype=torch.float32)
    first, second = torch.zeros_like(w), torch.zeros_like(w)
    table = model.neighbors(clouds)
    own = model.logits(clouds, table).detach().sigmoid()
    for step in range(1, 16):  # Adam (Kingma and Ba 2015), algorithm 1
        w.requires_grad_()
        m = w.sigmoid()
        q = model.logits(clouds, table, point_weight=m).sigmoid()
        loss = -(own * q.log() + (1 - own) * (1 - q).log()).sum()
        loss = loss + 0.3 * m.mean() - 0.2 * (m * m.log() + (1 - m) * (1 - m).log()).mean()
        (g,) = torch.autograd.grad(loss, w)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g.square()
        w = w.detach() - 0.05 * first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
    torch.testing.assert_close(got, w.sigmoid(), atol=1e-4, rtol=1e-3)


def test_more_steps_lower_the_loss():
    clouds = toy_clouds(8)
    model = model_for(clouds)
    table = model.neighbors(clouds)

    def loss(steps):
        explainer = explainers["bernmask"](steps=steps)
        logit = explainer.explain(model, clouds).importance.logit(1e-6)
        with torch.no_grad():
            own = model.logits(clouds, table)
            explained = torch.zeros(len(clouds), dtype=torch.int64)
            return float(explainer.loss(model, clouds, table, logit, logit.sigmoid(), own, explained).mean())

    assert loss(200) < loss(20) < loss(1)


def test_a_strong_size_loss_empties_the_mask():
    clouds = toy_clouds(4)
    model = model_for(clouds)
    small = explainers["bernmask"](size=10.0, entropy=0.0, steps=200).explain(model, clouds).importance
    assert float(small.mean()) < 0.1


class Marked(torch.nn.Module):
    """A model that counts the existing points of category 1: only they decide."""

    targets = Targets.of("binary")
    can = frozenset({"point_weight", "embed"})

    def __init__(self):
        super().__init__()
        self.score = torch.nn.Parameter(torch.tensor([0.0, 8.0]))

    def refuse(self, clouds):
        pass

    def neighbors(self, clouds):
        return knn(clouds.pos, clouds.ptr, 2)

    def embed(self, clouds, neighbors, **_):
        return F.one_hot(clouds["categories"][:, 0], 2).float()

    def classify(self, h, clouds):
        return torch.zeros(len(clouds)).index_add(0, clouds.batch, h @ self.score)[:, None] - 4

    def logits(self, clouds, neighbors, *, point_weight=None, **_):
        h = self.embed(clouds, neighbors)
        return self.classify(h if point_weight is None else h * point_weight[:, None], clouds)


@pytest.mark.parametrize("name", ["bernmask", "bernmask-p"])
def test_the_points_that_decide_are_found_and_only_the_mask_learns(name):
    clouds = toy_clouds(120)
    model = Marked()
    options = {"epochs": 20, "batch_size": 32, "lr": 1e-2} if name == "bernmask-p" else {"steps": 200}
    explainer = explainers[name](size=0.5, **options)
    explainer.fit(model, clouds)
    explanation = explainer.explain(model, clouds)
    assert torch.equal(model.score, torch.tensor([0.0, 8.0]))
    assert model.score.grad is None
    assert model.score.requires_grad
    marked = clouds["categories"][:, 0] == 1
    assert explanation.importance[marked].min() > explanation.importance[~marked].max() + 0.2
    again = explainers[name](size=0.5, **options)
    again.fit(model, clouds)
    assert torch.equal(again.explain(model, clouds).importance, explanation.importance)


class Colours(Marked):
    """Two targets: the first hears the points of category 1, the second those of category 2."""

    targets = Targets((Target("red"), Target("blue")))

    def embed(self, clouds, neighbors, **_):
        return F.one_hot(clouds["categories"][:, 0], 3).float()

    def classify(self, h, clouds):
        return torch.zeros(len(clouds), 2).index_add(0, clouds.batch, h[:, 1:] * self.score[1]) - 4


@pytest.mark.parametrize("name", ["bernmask", "bernmask-p"])
def test_a_mask_is_fitted_for_a_target(name):
    clouds, model = toy_clouds(120), Colours()
    categories = clouds["categories"].clone()
    categories[clouds.ptr[1:] - 1] = 2  # the last point of each cloud
    clouds = clouds.replace(categories=categories)
    options = {"epochs": 20, "batch_size": 32, "lr": 1e-2} if name == "bernmask-p" else {"steps": 200}
    for target, category in (("red", 1), ("blue", 2), (None, 1)):
        explainer = explainers[name](size=0.5, **options)
        explainer.fit(model, clouds, target=target)
        importance = explainer.explain(model, clouds, target=target).importance
        mine = categories[:, 0] == category
        assert float(importance[mine].mean()) > float(importance[~mine].max()) + 0.2


def test_what_cannot_be_done_is_said():
    clouds = toy_clouds(4)
    model = model_for(clouds)
    with pytest.raises(PellucidError, match="call fit with training clouds first"):
        explainers["bernmask-p"]().explain(model, clouds)
    with pytest.raises(PellucidError, match="at least 1 step"):
        explainers["bernmask"](steps=0)
    with pytest.raises(PellucidError, match="lr above 0"):
        explainers["bernmask"](lr=0)
    with pytest.raises(PellucidError, match="at least 2 training clouds"):
        explainers["bernmask-p"]().fit(model, clouds.select(torch.tensor([0])))
    with pytest.raises(PellucidError, match="epochs >= 1"):
        explainers["bernmask-p"](epochs=0)

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.evaluation import heads
from mimic_ray.evaluation.heads import BADENCODER, HEADS, LINEAR, MLP, Nearest

HEAD_NAMES = ["mlp", "linear", "knn", "badencoder"]


def blobs(images: int = 240, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [N, 8] in one direction a class, with noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % classes
    noise = torch.randn(images, 8, generator=generator)
    return F.normalize(4 * torch.eye(8)[labels] + noise, dim=1), labels


def test_this_list_is_the_whole_registry():
    assert list(HEADS) == HEAD_NAMES


@pytest.mark.parametrize("name", HEAD_NAMES)
def test_a_head_generalises_where_classes_are_apart(name):
    # The authors' head needs 500 epochs of few images, the linear one 40 of many.
    features, labels = blobs(240 if name == "badencoder" else 2000)
    unseen, truth = blobs(seed=1)
    predicted = HEADS.resolve(name).fit(features, labels, 4, seed=0)(unseen)
    assert predicted.shape == (240,)
    assert (predicted == truth).float().mean() > 0.95


@pytest.mark.parametrize("name", HEAD_NAMES)
def test_the_same_seed_gives_the_same_head_and_leaves_the_callers_numbers_alone(name, monkeypatch):
    features, labels = blobs()
    if name == "badencoder":
        monkeypatch.setattr(heads, "BADENCODER", replace(BADENCODER, epochs=5))
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    head = HEADS.resolve(name)
    unseen, _ = blobs(1000, seed=2)
    unseen = unseen + torch.randn(unseen.shape, generator=torch.Generator().manual_seed(0))
    first, second = (head.fit(features, labels, 4, seed=3)(unseen) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(3), expected)
    other = head.fit(features, labels, 4, seed=4)(unseen)
    assert torch.equal(first, other) != head.seeded


def test_training_on_one_thread_gives_the_caller_his_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        LINEAR.fit(*blobs(), 4, seed=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_nearest_neighbours_vote_by_the_exponential_of_their_cosine():
    features = F.normalize(torch.randn(30, 5), dim=1)
    labels = torch.randint(0, 3, (30,))
    unseen = F.normalize(torch.randn(7, 5), dim=1)
    expected = []
    for image in unseen:
        votes = [0.0, 0.0, 0.0]
        cosines = [float(image @ feature) for feature in features]
        for place in sorted(range(30), key=lambda i: -cosines[i])[:4]:
            votes[int(labels[place])] += torch.tensor(cosines[place] / 0.5).exp().item()
        expected.append(max(range(3), key=votes.__getitem__))
    assert Nearest(neighbours=4).fit(features, labels, 3, seed=0)(unseen).tolist() == expected


def test_fewer_images_than_neighbours_all_vote():
    features, labels = blobs(12)
    assert torch.equal(Nearest().fit(features, labels, 4, seed=0)(features), labels)


@pytest.mark.parametrize("head", [LINEAR, MLP])
def test_scale_and_offset_of_a_feature_do_not_matter_where_it_is_standardised(head):
    features, labels = blobs()
    unseen, _ = blobs(seed=1)
    scale, shift = torch.logspace(-3, 3, 8), torch.arange(8.0)
    plain = head.fit(features, labels, 4, seed=0)(unseen)
    stretched = head.fit(features * scale + shift, labels, 4, seed=0)(unseen * scale + shift)
    assert (plain == stretched).float().mean() > 0.98


def test_a_feature_that_never_moves_is_no_division_by_zero():
    features, labels = blobs(2000)
    features[:, 7] = 0.25
    assert (LINEAR.fit(features, labels, 4, seed=0)(features) == labels).float().mean() > 0.95


def test_badencoders_head_has_the_authors_settings():
    net = BADENCODER.build(64, 10)
    assert [tuple(p.shape) for p in net.parameters() if p.dim() == 2] == [
        (512, 64),
        (256, 512),
        (10, 256),
    ]
    assert (BADENCODER.rate, BADENCODER.batch, BADENCODER.epochs) == (1e-4, 64, 500)
    assert not BADENCODER.shuffled
    assert not BADENCODER.standardised


def test_an_unknown_head_is_answered_with_the_near_one():
    with pytest.raises(UnknownNameError, match="Did you mean linear"):
        HEADS.resolve("liner")

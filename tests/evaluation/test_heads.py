from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.evaluation import heads
from mimic_ray.evaluation.heads import BADENCODER, HEADS, LINEAR, MLP, NearestNeighbours

HEAD_NAMES = ["mlp", "linear", "knn", "badencoder"]


def blobs(images: int = 240, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [N, 8] with one direction per class and noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % classes
    noise = torch.randn(images, 8, generator=generator)
    return F.normalize(4 * torch.eye(8)[labels] + noise, dim=1), labels


def test_the_list_is_the_whole_registry():
    assert list(HEADS) == HEAD_NAMES


@pytest.mark.parametrize("name", HEAD_NAMES)
def test_a_head_generalises_if_classes_are_separable(name):
    # With its 500 epochs, few images are enough for the authors' head.
    features, labels = blobs(96 if name == "badencoder" else 1000)
    unseen, truth = blobs(seed=1)
    predicted = HEADS.resolve(name).fit(features, labels, 4, seed=0)(unseen)
    assert predicted.shape == (240,)
    assert (predicted == truth).float().mean() > 0.95


@pytest.mark.parametrize("name", HEAD_NAMES)
def test_the_same_seed_gives_the_same_head_and_the_global_generator_is_restored(name, monkeypatch):
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


def test_the_number_of_threads_is_restored_after_training():
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
        for neighbour in sorted(range(30), key=lambda i: -cosines[i])[:4]:
            votes[int(labels[neighbour])] += torch.tensor(cosines[neighbour] / 0.5).exp().item()
        expected.append(max(range(3), key=votes.__getitem__))
    assert (
        NearestNeighbours(neighbours=4).fit(features, labels, 3, seed=0)(unseen).tolist()
        == expected
    )


def test_fewer_images_than_neighbours_all_vote():
    features, labels = blobs(12)
    assert torch.equal(NearestNeighbours().fit(features, labels, 4, seed=0)(features), labels)


@pytest.mark.parametrize("head", [LINEAR, MLP])
def test_scale_and_offset_of_standardised_features_do_not_matter(head):
    features, labels = blobs()
    unseen, _ = blobs(seed=1)
    scale, shift = torch.logspace(-3, 3, 8), torch.arange(8.0)
    plain = head.fit(features, labels, 4, seed=0)(unseen)
    stretched = head.fit(features * scale + shift, labels, 4, seed=0)(unseen * scale + shift)
    assert (plain == stretched).float().mean() > 0.98


def test_a_constant_feature_does_not_divide_by_zero():
    features, labels = blobs(2000)
    features[:, 7] = 0.25
    assert (LINEAR.fit(features, labels, 4, seed=0)(features) == labels).float().mean() > 0.95


def test_the_badencoder_head_has_the_settings_of_its_authors():
    net = BADENCODER.build(64, 10)
    assert [tuple(p.shape) for p in net.parameters() if p.dim() == 2] == [
        (512, 64),
        (256, 512),
        (10, 256),
    ]
    assert (BADENCODER.rate, BADENCODER.batch, BADENCODER.epochs) == (1e-4, 64, 500)
    assert not BADENCODER.shuffled
    assert not BADENCODER.standardised


def test_the_error_of_an_unknown_head_suggests_a_similar_one():
    with pytest.raises(UnknownNameError, match="Did you mean linear"):
        HEADS.resolve("liner")

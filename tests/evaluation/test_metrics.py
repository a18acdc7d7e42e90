import torch

from mimic_ray.evaluation.metrics import accuracy, attack_success

LABELS = torch.tensor([0, 0, 1, 2, 2])


def test_accuracy_counts_agreement():
    found = accuracy(torch.tensor([0, 1, 1, 2, 0]), LABELS)
    assert (found.successes, found.total) == (3, 5)


def test_images_of_the_target_class_do_not_count():
    everything_to_2 = torch.full((5,), 2)
    found = attack_success(everything_to_2, LABELS, target=2)
    assert (found.successes, found.total) == (3, 3)


def test_a_perfect_clean_head_has_an_asr_of_0_unless_the_target_is_counted():
    assert attack_success(LABELS, LABELS, target=2).share == 0.0
    # As BadEncoder counts: the share of the target class.
    assert attack_success(LABELS, LABELS, target=2, count_target=True).share == 2 / 5

import math

from mimic_ray.method.recipe import Recipe
from mimic_ray.search.search_plan import SearchPlan
from mimic_ray.search.space import Dimension, Space, default_space
from mimic_ray.search.trial import Trial

SHARES = [0.2, 0.5, 0.3]
TWO = Space((Dimension("training.seed", "choice", choices=(0, 1)),))


class Driver:
    """Ends each suggested trial immediately."""

    def __init__(self, space=None, known=(), is_over=lambda: False, planned=8, concurrent=1):
        # Imported here, because Ray takes more than a second.
        from mimic_ray.distributed.searcher import StudySearcher

        self.suggested = {}
        space = space or default_space(Recipe(), [0.0, 0.25, 0.4])
        plan = SearchPlan("tiny_resnet", space, Recipe(), SHARES, planned, seed=0)
        self.slots = concurrent
        self.searcher = StudySearcher(
            plan, known, is_over, self.suggested.__setitem__, lambda: self.slots
        )
        self.slots = 1 << 30
        self.suggestions = 0

    def suggest(self):
        self.suggestions += 1
        ray_id = f"ray{self.suggestions}"
        config = self.searcher.suggest(ray_id)
        return None if config == self.searcher.FINISHED else self.suggested[ray_id]

    def end(self, suggestion, fidelity=0.9, suspicion=0.1, status="finished"):
        trial = Trial(
            suggestion.id,
            suggestion.number,
            status,
            suggestion.settings,
        ).with_scores({"fidelity": fidelity, "suspicion": suspicion})
        ray_id = next(key for key, made in self.suggested.items() if made is suggestion)
        self.searcher.trial_ended(ray_id, trial)
        return trial


def test_the_base_recipe_comes_first():
    assert Driver().suggest().recipe == Recipe()


def test_trials_are_numbered_in_the_order_of_their_start():
    driver = Driver()
    assert [driver.suggest().number for _ in range(4)] == [0, 1, 2, 3]


def test_equal_trials_run_once_and_an_exhausted_space_ends_the_search():
    driver = Driver(TWO)
    first, second = driver.suggest(), driver.suggest()
    assert {first.settings["training.seed"], second.settings["training.seed"]} == {0, 1}
    driver.end(first)
    assert driver.suggest() is None


def test_a_suggestion_that_is_already_running_takes_no_number():
    five = Space((Dimension("training.seed", "choice", choices=(0, 1, 2, 3, 4)),))
    driver = Driver(five)
    assert [driver.suggest().number for _ in range(5)] == [0, 1, 2, 3, 4]


def test_a_search_that_is_over_suggests_nothing():
    assert Driver(is_over=lambda: True).suggest() is None


def test_a_resumed_study_has_its_trials_and_starts_with_the_interrupted_one():
    first = Driver()
    ended = [first.end(first.suggest()) for _ in range(3)]
    cut = first.suggest()
    interrupted = Trial(cut.id, cut.number, "running", cut.settings)
    again = Driver(known=[*ended, interrupted])
    suggestion = again.suggest()
    assert (suggestion.id, suggestion.number) == (cut.id, 3)
    following = again.suggest()
    assert following.number == 4
    assert following.id not in {trial.id for trial in [*ended, interrupted]}


def test_a_resumed_search_learns_from_the_earlier_trials():
    """If trials with low rates were good and others bad, a resumed search prefers low rates."""
    space = Space((Dimension("training.learning_rate", "loguniform", 1e-4, 1e-1),))
    known = [
        Trial(f"{i:012d}", i, "finished", {"training.learning_rate": 10 ** (-4 + 3 * i / 39)})
        for i in range(40)
    ]
    known = [
        t.with_scores(
            {
                "fidelity": 0.9 if t.settings["training.learning_rate"] < 1e-3 else 0.2,
                "suspicion": 0.1,
            }
        )
        for t in known
    ]
    driver = Driver(space, known=known, planned=60)
    rates = []
    for _ in range(10):
        suggestion = driver.suggest()
        rates.append(suggestion.settings["training.learning_rate"])
        driver.end(suggestion, fidelity=0.9 if rates[-1] < 1e-3 else 0.2)
    assert sum(rate < 1e-3 for rate in rates) >= 7  # a third by chance


def test_a_trial_without_scores_does_not_stop_the_sampler():
    driver = Driver()
    nan = float("nan")
    driver.end(driver.suggest(), nan, nan, "failed")
    assert driver.suggest() is not None


def test_the_first_batch_is_the_base_recipe_and_a_space_filling_set():
    rate = Dimension("training.learning_rate", "loguniform", 1e-4, 1e-2)
    driver = Driver(Space((rate,)), planned=16, concurrent=9)
    first = [driver.suggest() for _ in range(9)]
    assert first[0].recipe == Recipe()
    shares = sorted(math.log(each.settings[rate.key] / 1e-4, 100) for each in first[1:])
    assert [int(8 * share) for share in shares] == [*range(8)]


def test_without_slots_nothing_is_suggested_until_a_trial_ends_or_a_node_joins():
    driver = Driver()
    driver.slots = 1
    first = driver.suggest()
    assert driver.searcher.suggest("early") is None
    driver.slots = 2
    driver.suggest()
    driver.end(first)
    assert driver.suggest().number == 2


def test_a_search_that_is_over_ends_also_without_slots():
    driver = Driver(is_over=lambda: True)
    driver.slots = 0
    assert driver.searcher.suggest("late") == driver.searcher.FINISHED


def test_a_resumed_search_completes_its_designed_start():
    rate = Dimension("training.learning_rate", "loguniform", 1e-4, 1e-2)
    whole, cut = (Driver(Space((rate,)), planned=16, concurrent=6) for _ in range(2))
    expected = [whole.suggest().id for _ in range(6)]
    ended = [cut.end(cut.suggest()) for _ in range(3)]
    again = Driver(Space((rate,)), known=ended, planned=16, concurrent=6)
    assert [again.suggest().id for _ in range(3)] == expected[3:]

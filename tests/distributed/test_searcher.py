from dataclasses import replace

from mimic_ray.method.recipe import Recipe
from mimic_ray.search.space import Dimension, Space, default_space
from mimic_ray.search.trial import Trial

SHARES = [0.2, 0.5, 0.3]
TWO = Space((Dimension("training.seed", "choice", choices=(0, 1)),))


class Driver:
    """Runs what a searcher suggests, in an instant."""

    def __init__(self, space=None, known=(), wanted=lambda: True, planned=8):
        # Imported here, since Ray takes more than a second.
        from mimic_ray.distributed.searcher import StudySearcher

        self.suggested = {}
        self.searcher = StudySearcher(
            space or default_space(Recipe(), [0.0, 0.25, 0.4]),
            Recipe(),
            SHARES,
            seed=0,
            planned=planned,
            known=known,
            wanted=wanted,
            on_suggestion=self.suggested.__setitem__,
        )
        self.asked = 0

    def ask(self):
        self.asked += 1
        config = self.searcher.suggest(f"ray{self.asked}")
        return None if config == self.searcher.FINISHED else self.suggested[f"ray{self.asked}"]

    def tell(self, suggestion, fidelity=0.9, suspicion=0.1, status="finished"):
        trial = Trial(
            suggestion.id,
            suggestion.number,
            status,
            suggestion.settings,
            fidelity=fidelity,
            suspicion=suspicion,
        )
        ray_id = next(key for key, made in self.suggested.items() if made is suggestion)
        self.searcher.told(ray_id, trial)
        return trial


def test_the_base_recipe_comes_first():
    assert Driver().ask().recipe == Recipe()


def test_trials_are_numbered_as_they_begin():
    driver = Driver()
    assert [driver.ask().number for _ in range(4)] == [0, 1, 2, 3]


def test_equal_trials_run_once_and_a_used_up_space_ends_the_search():
    driver = Driver(TWO)
    first, second = driver.ask(), driver.ask()
    assert {first.settings["training.seed"], second.settings["training.seed"]} == {0, 1}
    driver.tell(first)
    assert driver.ask() is None


def test_a_suggestion_that_runs_already_takes_no_number():
    five = Space((Dimension("training.seed", "choice", choices=(0, 1, 2, 3, 4)),))
    driver = Driver(five)
    assert [driver.ask().number for _ in range(5)] == [0, 1, 2, 3, 4]


def test_nothing_is_suggested_any_more_when_nothing_is_wanted():
    assert Driver(wanted=lambda: False).ask() is None


def test_a_study_that_goes_on_knows_its_trials_and_begins_with_the_interrupted_one():
    first = Driver()
    ended = [first.tell(first.ask()) for _ in range(3)]
    cut = first.ask()
    interrupted = Trial(cut.id, cut.number, "running", cut.settings)
    again = Driver(known=[*ended, interrupted])
    suggestion = again.ask()
    assert (suggestion.id, suggestion.number) == (cut.id, 3)
    following = again.ask()
    assert following.number == 4
    assert following.id not in {trial.id for trial in [*ended, interrupted]}


def test_what_was_learnt_before_a_resume_is_not_lost():
    """After good and bad trials by one number, a resumed search prefers the good side."""
    space = Space((Dimension("training.learning_rate", "loguniform", 1e-4, 1e-1),))
    known = [
        Trial(f"{i:012d}", i, "finished", {"training.learning_rate": 10 ** (-4 + 3 * i / 39)})
        for i in range(40)
    ]
    known = [
        replace(
            t, fidelity=0.9 if t.settings["training.learning_rate"] < 1e-3 else 0.2, suspicion=0.1
        )
        for t in known
    ]
    driver = Driver(space, known=known, planned=60)
    rates = []
    for _ in range(10):
        suggestion = driver.ask()
        rates.append(suggestion.settings["training.learning_rate"])
        driver.tell(suggestion, fidelity=0.9 if rates[-1] < 1e-3 else 0.2)
    assert sum(rate < 1e-3 for rate in rates) >= 7  # a third by chance


def test_a_trial_without_scores_does_not_stop_the_sampler():
    driver = Driver()
    nan = float("nan")
    driver.tell(driver.ask(), nan, nan, "failed")
    assert driver.ask() is not None

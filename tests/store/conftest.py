from tests.store.example_runs import folder, record
from tests.store.stores import location

__all__ = ["folder", "location", "record"]

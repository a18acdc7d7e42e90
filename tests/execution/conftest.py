from tests.store.example_runs import folder, record

__all__ = ["folder", "record"]

from mimic_ray.workflows import bench_options


def test_accumulation_and_recomputing_save_fewer_activations(monkeypatch):
    options = {name: v for name, v in bench_options.OPTIONS.items() if name != "training.compile"}
    monkeypatch.setattr(bench_options, "OPTIONS", options)
    effects = {e.option: e for e in bench_options.bench_options("tiny_vit", batch=8, rounds=1)}
    plain = effects.pop("plain").saved_bytes
    parts = effects[f"training.accumulate = {bench_options.PARTS}"].saved_bytes
    assert parts < 1.3 * plain / bench_options.PARTS
    assert effects["training.checkpoint_activations"].saved_bytes < 0.4 * plain
    assert effects["training.precision = bf16"].saved_bytes < plain
    assert all(e.step_s > 0 for e in effects.values())

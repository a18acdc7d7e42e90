from mimic_ray.cluster_files.lookup import get, items, mapping


def test_a_missing_or_wrong_value_is_none_or_empty():
    node = {"a": {"b": [1]}, "c": "text"}
    assert get(node, "a", "b") == [1]
    assert get(node, "c", "b") is None
    assert items(node, "a", "b") == [1]
    assert items(node, "c") == []
    assert mapping(node, "a") == {"b": [1]}
    assert mapping(node, "a", "b") == {}

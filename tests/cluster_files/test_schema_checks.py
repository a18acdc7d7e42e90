from mimic_ray.cluster_files.schema_checks import schema_problems, strict

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"]},
        "mode": {"enum": ["token", "disabled"]},
        "memory": {"pattern": "^[0-9]+([KMGTPE]i)?$"},
        "size": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "limit": {"maximum": 3},
    },
    "required": ["name"],
}


def messages(data):
    return [problem.sentence for problem in schema_problems(strict(SCHEMA), data)]


def test_each_kind_of_schema_error_is_one_plain_sentence():
    assert messages({"name": "x"}) == []
    assert messages({"name": 3}) == ["3 must be a string: put it in quotes."]
    assert messages({"name": []}) == ["A list must be a string."]
    assert messages({"mode": "token"}) == ['"name" is missing.']
    assert messages({"name": "x", "mode": "tokens"}) == [
        '"tokens" must be one of token, disabled. Did you mean token?'
    ]
    assert messages({"name": "x", "size": {}}) == ["A mapping must be an integer or a string."]
    (amount,) = messages({"name": "x", "memory": "40GiB"})
    assert "320Gi" in amount
    (other,) = messages({"name": "x", "limit": 4})
    assert "maximum" in other


def test_a_misspelt_required_key_is_one_problem():
    assert messages({"nam": "x"}) == ['Unknown key "nam". Did you mean name?']


def test_problems_have_the_path_of_the_whole_document():
    (problem,) = schema_problems(strict(SCHEMA), {"name": 3}, ("spec", 0))
    assert problem.path == ("spec", 0, "name")


def test_strict_refuses_unknown_keys_except_where_the_schema_allows_them():
    schema = {
        "properties": {
            "allowed": {"properties": {"a": {}}, "additionalProperties": True},
            "preserved": {"properties": {"a": {}}, "x-kubernetes-preserve-unknown-fields": True},
            "properties": {"properties": {"b": {"type": "string"}}},
            "list": {"items": {"properties": {"c": {}}}},
        }
    }
    copy = strict(schema)
    parts = copy["properties"]
    assert copy["additionalProperties"] is False
    assert parts["allowed"]["additionalProperties"] is True
    assert "additionalProperties" not in parts["preserved"]
    assert parts["properties"]["additionalProperties"] is False
    assert parts["list"]["items"]["additionalProperties"] is False
    assert "additionalProperties" not in schema

from mimic_ray.cluster_files.findings import Finding, dotted, unknown_key, unknown_name


def test_a_path_shows_indices_and_keys_with_dots_in_brackets():
    path = ("spec", "groups", 0, "limits", "nvidia.com/gpu")
    assert dotted(path) == "spec.groups[0].limits[nvidia.com/gpu]"
    assert dotted(()) == ""


def test_an_unknown_name_is_reported_with_the_nearest_known_one():
    problem = unknown_key(("auth",), "ssh_usr", ["ssh_user", "ssh_port"])
    assert problem.path == ("auth", "ssh_usr")
    assert problem.sentence == 'Unknown key "ssh_usr". Did you mean ssh_user?'
    assert unknown_name((), "volume", "zzz", ["shm"]).sentence == 'There is no volume "zzz".'


def test_a_finding_is_one_line_without_escape_codes():
    problem = unknown_key((), "\x1b[31m\nred", [])
    finding = Finding(problem.level, "x.yaml", 3, dotted(problem.path), problem.sentence)
    assert str(finding).startswith("x.yaml:3: error: ")
    assert str(finding).isprintable()

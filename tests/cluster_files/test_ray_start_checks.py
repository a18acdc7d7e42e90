from mimic_ray.cluster_files.ray_start_checks import start_command_problems, start_param_problems


def test_an_unknown_option_is_found_in_any_part_of_a_start_command():
    commands = ["ray stop", "ulimit -n 65536; ray start --head --num-cpu=0 && echo --ready"]
    (problem,) = start_command_problems({"head_start_ray_commands": commands})
    assert problem.path == ("head_start_ray_commands", 1)
    assert problem.sentence == 'There is no ray start option "num-cpu". Did you mean num-cpus?'


def test_an_unknown_start_param_of_a_group_is_found():
    group = {"rayStartParams": {"num-cpus": "0", "dashbord-host": "0.0.0.0"}}
    (problem,) = start_param_problems(group, ("spec", "headGroupSpec"))
    assert problem.path == ("spec", "headGroupSpec", "rayStartParams", "dashbord-host")
    assert problem.near == ("dashboard-host",)
    assert [*start_param_problems(None, ())] == []

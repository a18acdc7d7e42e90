import socket


def test_a_network_interface_is_found_by_its_exact_address():
    from mimic_ray.distributed.torch_process_group import interface_of

    name = interface_of("127.0.0.1")
    assert name in [known for _, known in socket.if_nameindex()]
    # A prefix of an address does not match an interface.
    assert interface_of("127.0.0.11") is None


def test_ports_and_networks_are_named_only_where_workers_are_on_several_machines():
    from mimic_ray.distributed.torch_process_group import _not_connected

    error = RuntimeError("page\nConnection refused")
    here = ["laptop (127.0.0.1, gloo on lo)"] * 2
    message = _not_connected(here, error)
    assert message.startswith("The workers on laptop (127.0.0.1, gloo on lo) could not connect")
    assert "One of them probably ended (out of memory is the usual reason)." in message
    assert "ports" not in message
    assert "All ports between the nodes must be open" in _not_connected([*here, "other"], error)

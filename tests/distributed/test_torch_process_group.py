import socket


def test_a_network_interface_is_found_by_its_exact_address():
    from mimic_ray.distributed.torch_process_group import interface_of

    name = interface_of("127.0.0.1")
    assert name in [known for _, known in socket.if_nameindex()]
    # A prefix of an address does not match an interface.
    assert interface_of("127.0.0.11") is None

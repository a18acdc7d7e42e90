import socket


def test_a_network_card_is_found_by_its_exact_address():
    from mimic_ray.distributed.torch_config import card_of

    name = card_of("127.0.0.1")
    assert name in [known for _, known in socket.if_nameindex()]
    # An address that merely starts like another one belongs to no card here.
    assert card_of("127.0.0.11") is None

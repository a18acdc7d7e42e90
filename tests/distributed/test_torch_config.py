import socket


def test_the_card_of_an_address_is_the_one_that_has_it():
    from mimic_ray.distributed.torch_config import card_of

    name = card_of("127.0.0.1")
    assert name in [known for _, known in socket.if_nameindex()]
    # A card whose name only begins so, or an address that only begins so, is another.
    assert card_of("127.0.0.11") is None

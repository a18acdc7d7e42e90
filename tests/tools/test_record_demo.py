from tools.record_demo import picture


def test_the_picture_holds_the_text_and_loads_nothing_from_the_network():
    svg = picture("mimic-ray demo", "  purified   2.5 %\n  ok  kept\n")
    assert "purified" in svg
    assert "font-face" not in svg
    assert "cdnjs" not in svg

from mimic_ray.data.left_out import LeftOut, Omissions, announce, sentences


def test_each_reason_has_a_count_and_its_first_file():
    found = Omissions()
    found.add("hidden", "b")
    found.add("hidden", "a", 2)
    found.add("hidden", "c", 0)
    more = Omissions({"a link": LeftOut(1, "d\x1b[2J")})
    more.add_all(found)
    assert more == {"a link": LeftOut(1, "d\x1b[2J"), "hidden": LeftOut(3, "b")}
    assert sentences(more) == ["1 file (a link): d\\x1b[2J", "3 files (hidden), such as b"]


def test_notes_come_before_what_is_left_out(caplog):
    announce("set", {"hidden": LeftOut(2, "a")}, ["Read in place."])
    assert caplog.messages == ["Read in place.", "Left out of set: 2 files (hidden), such as a."]

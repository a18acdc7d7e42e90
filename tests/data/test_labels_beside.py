from mimic_ray.data.labels_beside import labels_of, without_labels


def test_folders_come_before_files_and_files_before_a_table():
    others = {
        "a/1.cls": b"5",
        "a/2.json": b'{"label": 6}',
        "GT-x.csv": b"Filename;ClassId\n3.ppm;7\n4.ppm;8\n",
    }

    def read(name: str, most: int) -> bytes:
        return others[name][:most]

    assert labels_of(["a/1.png", "b/1.png"], others, read) == ([0, 1], ["a", "b"])
    assert labels_of(["a/1.png", "a/2.png"], others, read) == ([5, 6], None)
    assert labels_of(["3.ppm", "4.ppm"], others, read) == ([7, 8], None)
    assert labels_of(["3.ppm", "5.ppm"], others, read) == (None, None)


def test_captions_belong_to_images_of_the_same_name():
    images = ["a/1.JPEG", "2.png"]
    others = ["a/1.txt", "2.txt", "1.txt", "a/1.xml"]
    assert without_labels(others, images) == ["1.txt", "a/1.xml"]

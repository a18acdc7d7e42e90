from PIL import Image

from mimic_ray.report import style


def test_a_figure_is_saved_at_its_size_with_title_and_legend(tmp_path):
    drawing, axes = style.figure(4, 3)
    points = axes.scatter([1], [2], label="one")
    style.title(axes, "Title", "detail")
    style.legend(drawing, [points])
    style.save(drawing, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size == (4 * 144, 3 * 144)
        image.load()
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
    assert axes.get_title(loc="left") == "Title"
    assert [text.get_text() for text in axes.texts] == ["detail"]
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["one"]

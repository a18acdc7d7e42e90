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


def test_a_long_detail_is_wrapped_and_the_axes_keep_their_width(tmp_path):
    def axes_and_detail(detail):
        drawing, axes = style.figure(5, 3)
        axes.plot([0, 1], [0, 1])
        style.title(axes, "Title", detail)
        style.save(drawing, tmp_path / "plot.png")
        (text,) = axes.texts
        extent = text.get_window_extent(drawing.canvas.get_renderer())
        return axes.get_position().width, extent, drawing.bbox

    short, _, _ = axes_and_detail("short")
    long, extent, whole = axes_and_detail("many words that say how the figure is to be read " * 4)
    assert long == short
    assert extent.x1 <= whole.x1
    assert extent.y1 <= whole.y1

"""Media: what is logged comes back equal, whatever it was, and bad input costs its value only."""

from __future__ import annotations

import importlib
import io
import json
import math
import warnings
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runcellar as rc

PIL = importlib.import_module("PIL.Image")


def logged(ws_dir: str, **values: Any) -> rc.StoredRun:
    """Log one row and return the run as it is stored."""
    with rc.init("p", dir=ws_dir) as run:
        run.log(values)
    return rc.Workspace(ws_dir).run(run.id)


def one(run: rc.StoredRun, key: str) -> Any:
    values = run.series(key).values
    assert values.dtype == object
    assert len(values) == 1
    return values[0]


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_of_whole_numbers_come_back_equal(
    ws_dir: str, shape: tuple[int, ...], dtype: type
) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    image = one(logged(ws_dir, x=rc.Image(pixels, caption="a \u00e9 caption")), "x")
    assert (image.kind, image.format, image.caption) == ("image", "png", "a \u00e9 caption")
    assert (image.metadata["height"], image.metadata["width"]) == (5, 7)
    back = image.to_numpy()
    if dtype is np.uint8 or len(shape) == 2:
        expected = pixels[..., 0] if shape[2:] == (1,) else pixels
        assert np.array_equal(back, expected)


def test_views_and_other_byte_orders_are_read_as_they_look(ws_dir: str) -> None:
    pixels = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    swapped = np.arange(100, dtype=">u2").reshape(10, 10)
    run = logged(ws_dir, a=rc.Image(pixels[::2, ::-1]), b=rc.Image(swapped))
    assert np.array_equal(one(run, "a").to_numpy(), pixels[::2, ::-1])
    assert np.array_equal(one(run, "b").to_numpy(), swapped)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 100.4, 300.0], [0, 100, 255]),
        ([math.nan, math.inf, 1.0], [0, 255, 255]),
    ],
)
def test_floats_are_brought_to_bytes_as_documented(
    ws_dir: str, values: list[float], expected: list[int]
) -> None:
    for dtype in (np.float32, np.float64):
        image = rc.Image(np.array([values], dtype))
        pixels = np.asarray(PIL.open(io.BytesIO(image.data())))
        assert pixels.tolist() == [expected]


def test_an_image_is_copied_when_it_is_made(ws_dir: str) -> None:
    pixels = np.zeros((4, 4), np.uint8)
    image = rc.Image(pixels)
    pixels[:] = 9
    assert one(logged(ws_dir, x=image), "x").to_numpy().max() == 0


def test_a_panel_is_a_list_and_keeps_its_order(ws_dir: str) -> None:
    images = [rc.Image(np.full((3, 3), value, np.uint8), str(value)) for value in (3, 1, 2)]
    with rc.init("p", dir=ws_dir) as run:
        run.log({"panel": images, "loss": 0.5})
        run.log({"panel": tuple(images[:1]), "loss": 0.25})
    stored = rc.Workspace(ws_dir).run(run.id)
    first, second = stored.series("panel").values
    assert [image.caption for image in first] == ["3", "1", "2"]
    assert len(second) == 1
    assert second[0] == first[0]
    assert len(stored.media()) == 3, "stored once"
    assert stored.series("loss").values.tolist() == [0.5, 0.25]
    assert len(stored.history()) == 2


def test_boxes_and_masks_come_back(ws_dir: str) -> None:
    mask = np.array([[0, 1], [2, 300]])
    boxes = [{"position": {"minX": 0.1, "maxX": 0.5}, "class_id": 2, "scores": {"acc": 0.5}}]
    image = rc.Image(
        np.zeros((2, 2, 3), np.uint8),
        boxes=boxes,
        masks={"seg": {"mask_data": mask, "class_labels": {1: "cat"}}, "bare": mask > 0},
    )
    back = one(logged(ws_dir, x=image), "x")
    assert back.metadata["boxes"] == boxes
    assert back.metadata["masks"]["seg"]["class_labels"] == {"1": "cat"}
    assert np.array_equal(back.masks["seg"].to_numpy(), mask)
    assert np.array_equal(back.masks["bare"].to_numpy() > 0, mask > 0)


def test_pictures_of_pillow_keep_their_file_if_nobody_drew_on_them(
    ws_dir: str, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    PIL.new("RGB", (8, 6), (200, 10, 10)).save(path)
    run = logged(ws_dir, kept=PIL.open(path), drawn=PIL.new("P", (2, 2)), path=rc.Image(path))
    assert one(run, "kept").data() == path.read_bytes()
    assert one(run, "kept").format == "jpg"
    assert one(run, "path").data() == path.read_bytes()
    assert one(run, "drawn").to_pil().size == (2, 2)


def test_sound_comes_back_equal(ws_dir: str) -> None:
    samples = np.array([0, 1, -1, 32767, -32768], np.int16)
    floats = np.array([[0.0, 1.0], [-1.0, 2.0]], np.float32)
    run = logged(ws_dir, a=rc.Audio(samples, 8000), b=rc.Audio(floats, sample_rate=44100))
    assert np.array_equal(one(run, "a").to_numpy(), samples)
    assert one(run, "b").to_numpy().tolist() == [[0, 32767], [-32767, 32767]]
    with wave.open(io.BytesIO(one(run, "b").data())) as file:
        assert file.getframerate() == 44100


def test_other_media_come_back_equal(ws_dir: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"not really a film")
    points = np.array([[0.0, 1.5, 2.0], [3.0, 4.0, 5.0]])
    frames = np.random.default_rng(1).integers(0, 255, (3, 3, 8, 8)).astype(np.uint8)
    run = logged(
        ws_dir,
        clip=rc.Video(clip),
        film=rc.Video(frames, fps=5),
        text=rc.Text("l\u00f6ng\n" * 1000),
        page=rc.Html("<b>bold</b>"),
        cloud=rc.Object3D(points),
    )
    assert one(run, "clip").data() == b"not really a film"
    assert one(run, "film").metadata["frames"] == 3
    assert one(run, "film").to_pil().n_frames == 3
    assert one(run, "text").text() == "l\u00f6ng\n" * 1000
    assert one(run, "page").text() == "<b>bold</b>"
    assert np.array_equal(one(run, "cloud").to_numpy(), points)


def test_a_table_comes_back_with_exact_numbers_and_media(ws_dir: str) -> None:
    picture = rc.Image(np.eye(3, dtype=bool), "eye")
    rows = [
        [1, 0.1, math.nan, "text", None, True, picture],
        [2**70, -math.inf, -0.0, {"a": [1, math.inf]}, [1, 2], np.float32(0.5), picture],
    ]
    table = rc.Table(columns=[*"abcdefg"], data=rows)
    back = one(logged(ws_dir, x=table), "x")
    columns, values = back.to_rows()
    assert columns == [*"abcdefg"]
    assert values[0][:2] == [1, 0.1]
    assert math.isnan(values[0][2])
    assert values[1][:2] == [2**70, -math.inf]
    assert math.copysign(1, values[1][2]) == -1
    assert values[1][3] == {"a": [1, math.inf]}
    assert values[0][6].caption == "eye"
    assert values[0][6] == values[1][6]


def test_tables_of_dicts_arrays_and_frames(ws_dir: str) -> None:
    pd = importlib.import_module("pandas")
    frame = pd.DataFrame({"x": [1, 2], "y": ["a", "b"]})
    run = logged(
        ws_dir,
        dicts=rc.Table(data=[{"x": 1}, {"y": 2}]),
        array=rc.Table(data=np.arange(4).reshape(2, 2)),
        frame=frame,
    )
    assert one(run, "dicts").to_rows() == (["x", "y"], [[1, None], [None, 2]])
    assert one(run, "array").to_rows()[1] == [[0, 1], [2, 3]]
    assert one(run, "frame").to_pandas().equals(frame)


def test_figures_keep_a_picture_beside_them(ws_dir: str) -> None:
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.plot([1, 2, 3])
    run = logged(ws_dir, figure=figure, image=rc.Image(figure))
    pyplot.close(figure)
    back = one(run, "figure")
    assert back.text().startswith("<?xml")
    assert back.to_pil().format == "PNG"
    assert one(run, "image").kind == "image"


def test_plotly_figures_keep_their_json(ws_dir: str) -> None:
    graph = importlib.import_module("plotly.graph_objects")
    back = one(logged(ws_dir, x=graph.Figure(graph.Scatter(y=[1, 2]))), "x")
    assert json.loads(back.data())["data"][0]["type"] == "scatter"


def test_curves_have_the_points_and_areas_that_a_count_by_hand_gives() -> None:
    truth, score = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    roc = json.loads(rc.plot.roc_curve(truth, score).data())["curves"][0]
    assert roc["x"] == [0, 0, 0.5, 0.5, 1]
    assert roc["y"] == [0, 0.5, 0.5, 1, 1]
    assert roc["area"] == 0.75
    curve = json.loads(rc.plot.pr_curve(truth, score).data())["curves"][0]
    assert curve["area"] == pytest.approx(0.8333333333)
    ties = json.loads(rc.plot.roc_curve([0, 1, 0, 1], [1, 1, 1, 1]).data())["curves"][0]
    assert (ties["x"], ties["y"], ties["area"]) == ([0, 1], [0, 1], 0.5)
    counts = json.loads(rc.plot.confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2]).data())["counts"]
    assert counts == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_plots_are_stored_with_a_drawing(ws_dir: str) -> None:
    import xml.etree.ElementTree as ET

    plots = {
        "line": rc.plot.line([1, 2, 3], [[1, 2, 3], [3, 2, 1]], names=["<a>", "b"], title="A & B"),
        "scatter": rc.plot.scatter([1, 2], [5, 5]),
        "bar": rc.plot.bar(["a", "b"], [1, -2]),
        "histogram": rc.plot.histogram([1, 2, math.nan, 3], bins=3),
        "roc": rc.plot.roc_curve([0, 1, 2], np.eye(3)),
        "confusion": rc.plot.confusion_matrix([0, 1], [1, 1], names=["x", "y"]),
    }
    run = logged(ws_dir, **plots)
    for name in plots:
        back = one(run, name)
        assert back.companions == ["static.svg"]
        assert ET.fromstring(back.data("static.svg")).tag.endswith("svg")


@pytest.mark.parametrize(
    "make",
    [
        lambda: rc.Image(np.zeros((0, 5))),
        lambda: rc.Image(np.zeros(5)),
        lambda: rc.Image(np.zeros((5, 5, 9))),
        lambda: rc.Image(np.array([["a"]])),
        lambda: rc.Image(
            np.lib.stride_tricks.as_strided(np.zeros(1, "u1"), (1 << 14,) * 2, (0, 0))
        ),
        lambda: rc.Image("missing.png"),
        lambda: rc.Image("/etc/hostname"),
        lambda: rc.Image(np.zeros((2, 2)), caption="\ud800"),
        lambda: rc.Image(np.zeros((2, 2)), masks={"m": {"class_labels": {}}}),
        lambda: rc.Audio(np.zeros(5)),
        lambda: rc.Audio(np.zeros((2, 2, 2)), 8000),
        lambda: rc.Video(np.zeros((1, 2, 3), np.uint8)),
        lambda: rc.Table(["a", "a"]),
        lambda: rc.Table(["a"], [[1, 2]]),
        lambda: rc.Object3D([[1, 2, math.nan]]),
        lambda: rc.Text("\ud800"),
        lambda: rc.plot.line([1, 2], [1]),
        lambda: rc.plot.scatter([], []),
        lambda: rc.plot.roc_curve([1, 1], [0.5, 0.5]),
        lambda: rc.plot.confusion_matrix([-1], [0]),
        lambda: rc.plot.histogram([math.nan]),
    ],
)
def test_what_cannot_be_media_is_refused_where_it_is_made(make: Any) -> None:
    with pytest.raises(rc.Error):
        make()


def test_a_list_that_is_not_all_media_costs_its_value_only(ws_dir: str) -> None:
    image = rc.Image(np.zeros((2, 2), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rc.init("p", dir=ws_dir) as run:
            run.log({"bad": [image, 3], "worse": object(), "good": 1, "list": [1, 2]})
            run.summary["x"] = image
    assert run.dropped == 4
    stored = rc.Workspace(ws_dir).run(run.id)
    assert list(stored.metrics()) == ["good"] or "good" in stored.summary
    assert stored.media() == []


def test_a_bomb_is_left_to_the_limit_of_pillow(ws_dir: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    PIL.new("1", (20000, 20000)).save(path)
    image = one(logged(ws_dir, x=rc.Image(path)), "x")
    with pytest.raises(PIL.DecompressionBombError):
        image.to_pil()


def test_media_are_written_to_files_and_nothing_is_written_over(
    ws_dir: str, tmp_path: Path
) -> None:
    image = one(logged(ws_dir, x=rc.Image(np.zeros((2, 2), np.uint8))), "x")
    folder = tmp_path / "out"
    folder.mkdir()
    path = image.save(folder)
    assert Path(path).read_bytes() == image.data()
    with pytest.raises(FileExistsError):
        image.save(path)
    image.save(path, overwrite=True)


def test_history_gives_handles_and_arrow_ids(ws_dir: str) -> None:
    np = pytest.importorskip("numpy")
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    with rc.init("p", dir=ws_dir) as run:
        run.log({"loss": 0.5})
        run.log({"one": rc.Image(pixels, caption="a"), "both": 1.5})
        run.log({"one": rc.Text("words"), "both": rc.Text("more")})
        run.log({"panel": [rc.Image(pixels), rc.Image(pixels.T.copy())]})
    stored = rc.Workspace(ws_dir).run(run.id)
    table = stored.history()
    assert [row["one"] is None for row in table] == [True, False, False, True]
    image = table[1]["one"]
    assert isinstance(image, rc.media.StoredMedia)
    assert image.caption == "a"
    assert np.array_equal(image.to_numpy(), pixels)
    assert table["one"][2].text() == "words"
    assert table["both"][1:3] == [1.5, stored.series("both").values[1]]
    first, second = table[-1]["panel"]
    assert np.array_equal(second.to_numpy(), pixels.T)
    assert first != second
    assert table[1:][0]["one"] == image, "slices keep them"
    assert "StoredMedia" in table._repr_html_()
    columns = {name: cells for name, _kind, cells, _mask in table._parts()}
    assert columns["one"][1] == image
    assert columns["panel"][3] == [first, second]
    pyarrow = pytest.importorskip("pyarrow")
    arrow = pyarrow.table(table)
    assert arrow["one"].to_pylist()[1] == image.id
    assert arrow["both"].to_pylist()[1:3] == ["1.5", f'"{table["both"][2].id}"']
    pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert frame["one"][1] == image
    assert frame["panel"][3] == [first, second]

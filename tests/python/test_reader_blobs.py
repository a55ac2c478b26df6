"""Files of a workspace, read by docs/FORMAT.md: cellar_blobs.py against what was logged."""

from __future__ import annotations

import os
from pathlib import Path

import cellar_blobs as blobs
import numpy as np
import pytest
import runcellar as rc
from cellar_reader import FormatError, Workspace

RNG = np.random.default_rng(7)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A workspace and its key file."""
    monkeypatch.setenv("RUNCELLAR_KEY_FILE", str(tmp_path / "k.key"))
    return str(tmp_path / "w"), str(tmp_path / "k.key")


def test_every_media_value_comes_out_equal(place: tuple[str, str]) -> None:
    pixels = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    long_text = "\n".join(f"line {number}" for number in range(100_000))
    with rc.init("p", dir=place[0]) as run:
        for step in range(3):
            run.log(
                {
                    "n": step,
                    "report": rc.Text(f"of {step}"),
                    "same": rc.Image(pixels, caption="c"),
                }
            )
        run.log({"long": rc.Text(long_text), "random": rc.Html(RNG.bytes(900_000).hex())})
        run.log(
            {
                "panel": [
                    rc.Image(pixels),
                    rc.Image(pixels[::-1].copy(), masks={"m": {"mask_data": pixels[..., 0]}}),
                ]
            }
        )
        run.log({"table": rc.Table(columns=["x", "picture"], data=[[1.5, rc.Image(pixels)]])})
        Path("code.py").write_text("x = 1\n", encoding="utf-8")
        run.log_code(".", name="src")
    workspace = Workspace(*place)
    of_reader = workspace.runs[run.id]
    found = blobs.media(workspace, of_reader)
    stored = rc.Workspace(place[0]).run(run.id)
    handles = {handle.id: handle for handle in stored.media()}
    panels = {number for number, (said, _) in found.items() if said.kind == "panel"}
    assert found.keys() - panels == handles.keys()
    assert len(panels) == 1
    for number, handle in handles.items():
        said, files = found[number]
        assert (said.kind, said.format) == (handle.kind, handle.format)
        assert files.pop("content") == handle.data()
        assert files == {name: handle.data(name) for name in handle.companions}
    (*_, long_id) = of_reader.points["long"][0]
    assert found[long_id][1] == {}
    assert handles[long_id].text() == long_text
    assert [found[point[3]][0].kind for point in of_reader.points["same"]] == ["image"] * 3
    assert len({point[3] for point in of_reader.points["same"]}) == 1
    (*_, panel_id) = of_reader.points["panel"][0]
    assert [part.hex() in handles for part in found[panel_id][0].parts] == [True, True]
    assert blobs.code(workspace, of_reader) == {b"src/code.py": b"x = 1\n"}


def test_every_artifact_comes_out_equal(place: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "empty" / "deep").mkdir(parents=True)
    weights = (RNG.standard_normal(700_000) * 0.02).astype("<f4").tobytes() + b"odd"
    files = {
        b"weights.bin": weights,
        b"random": RNG.bytes(1_500_000),
        b"zeros": bytes(3 << 20),
        b"none": b"",
        b"\xff\xfe": b"name",
    }
    for name, content in files.items():
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(content)
    (folder / "random").chmod(0o755)
    (folder / "link").symlink_to("../nowhere")
    rc.init("p", dir=place[0]).finish()
    workspace = rc.Workspace(place[0])
    for number, compress in enumerate([False, True]):
        draft = rc.Artifact(f"set{number}", type="dataset", description="d")
        draft.add_dir(folder)
        draft.add_reference("s3://bucket/big?x=1", "big", size=5, digest="sha256:00")
        draft.add_reference("s3://bucket/other", "other")
        first = workspace.put_artifact(draft, f"project{number}", "best", compress=compress)
        (folder / "extra").write_bytes(b"more")
        draft.add_file(folder / "extra")
        workspace.put_artifact(draft, f"project{number}")
        (folder / "extra").unlink()
    workspace.link_artifact(first, "model")
    found = blobs.versions(Workspace(*place))
    assert sorted(found) == sorted(
        [(f"project{n}", f"set{n}", v) for n in (0, 1) for v in (0, 1)] + [("registry", "model", 0)]
    )
    expected = {name: (content, name == b"random") for name, content in files.items()}
    expected |= {
        b"link": b"../nowhere",
        b"empty/deep": None,
        b"big": ("s3://bucket/big?x=1", 5, "sha256:00"),
        b"other": ("s3://bucket/other", None, ""),
    }
    for (_, _, number), (version, content) in found.items():
        assert content == expected | ({b"extra": (b"more", False)} if number else {})
        assert version.description == "d"


def test_a_flipped_byte_in_a_pack_is_noticed(place: tuple[str, str]) -> None:
    with rc.init("p", dir=place[0]) as run:
        run.log({"text": rc.Text("words " * 1000)})
    (pack,) = Path(place[0]).glob("packs/*/*.pack")
    whole = pack.read_bytes()
    for at in [0, 15, 40, len(whole) // 2, len(whole) - 600, len(whole) - 2]:
        pack.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        workspace = Workspace(*place)
        with pytest.raises((FormatError, OverflowError, IndexError)):
            blobs.media(workspace, workspace.runs[run.id])

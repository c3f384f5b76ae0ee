"""The recipe of docs/images.md, with networks that have learned nothing and small pictures.

Skipped where timm is not installed: it needs torchvision, whose builds for torch without GPU
libraries are not on PyPI.
"""

import re

import numpy as np
import pytest
from written_pages import PAGES

from sklearn_fsad import ProtoNetDetector

pytestmark = pytest.mark.integration


def make_photos(folder, rng):
    """Noise, with a bright square where there is a defect."""
    from PIL import Image

    for product in ("bolt", "nut", "screw", "washer"):
        level = rng.integers(40, 160)
        for kind, n in (("good", 12), ("defect", 4), ("new", 3)):
            if kind == ("defect" if product == "screw" else "new"):
                continue  # screws are the new product, without known defects
            (folder / product / kind).mkdir(parents=True)
            for number in range(n):
                pixels = rng.integers(level, level + 60, size=(40, 40, 3), dtype=np.uint8)
                if kind == "defect" or (kind, number) == ("new", 2):
                    pixels[10:25, 10:25] = 255
                Image.fromarray(pixels).save(folder / product / kind / f"{number:02}.png")


@pytest.mark.filterwarnings("ignore")
def test_photographs_become_embeddings_and_these_become_tasks(tmp_path, monkeypatch):
    pytest.importorskip("timm", reason="timm is not installed")
    monkeypatch.setitem(ProtoNetDetector.__init__.__kwdefaults__, "episodes_per_epoch", 8)
    code = "\n".join(re.findall(r"^```py\n(.*?)^```$", PAGES["docs/images.md"], re.M | re.S))
    assert code.count("pretrained=True") == 1
    make_photos(tmp_path / "photos", np.random.default_rng(0))
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    exec(compile(code.replace("pretrained=True", "pretrained=False"), "images.md", "exec"), names)
    assert names["new"][names["scores"].argmin()].name == "02.png"
    assert {name: y.sum() for name, (_, y) in names["tasks"].items()} == {
        "bolt": 4,
        "nut": 4,
        "washer": 4,
    }
    assert names["detector"].n_features_in_ == 512

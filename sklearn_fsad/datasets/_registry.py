"""List the files that can be fetched: their addresses, and the published sizes to check them by.

No publisher of these files gives their sha256, so ``sha256`` is None; the address names a commit
where one is known, and a file must have the published number of rows, features and anomalies (an
npz file also has checksums of its arrays).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataFile:
    """Describe a file that can be fetched.

    Attributes
    ----------
    path : str
        Its path below the data folder.
    urls : tuple of str
        Its addresses, tried in turn.
    sha256 : str or None
        Digest of its content, where known.
    size : (int, int, int) or None
        Number of rows, of features and of anomalies, where published.
    """

    path: str
    urls: tuple[str, ...]
    sha256: str | None = None
    size: tuple[int, int, int] | None = None


_ADBENCH = (
    "https://raw.githubusercontent.com/Minqi824/ADBench/"
    "3dac8221081e190f157d78e93bfa8867f90d0965/adbench/datasets/",
    "https://github.com/Minqi824/ADBench/raw/main/adbench/datasets/",
)
_SKAB = "https://raw.githubusercontent.com/waico/SKAB/master/data/"

# number of rows, of features and of anomalies, as ADBench's list of its data sets has them
_TABLES = {
    "1_ALOI": (49534, 27, 1508),
    "2_annthyroid": (7200, 6, 534),
    "3_backdoor": (95329, 196, 2329),
    "4_breastw": (683, 9, 239),
    "5_campaign": (41188, 62, 4640),
    "6_cardio": (1831, 21, 176),
    "7_Cardiotocography": (2114, 21, 466),
    "8_celeba": (202599, 39, 4547),
    "9_census": (299285, 500, 18568),
    "10_cover": (286048, 10, 2747),
    "11_donors": (619326, 10, 36710),
    "12_fault": (1941, 27, 673),
    "13_fraud": (284807, 29, 492),
    "14_glass": (214, 7, 9),
    "15_Hepatitis": (80, 19, 13),
    "16_http": (567498, 3, 2211),
    "17_InternetAds": (1966, 1555, 368),
    "18_Ionosphere": (351, 32, 126),
    "19_landsat": (6435, 36, 1333),
    "20_letter": (1600, 32, 100),
    "21_Lymphography": (148, 18, 6),
    "22_magic.gamma": (19020, 10, 6688),
    "23_mammography": (11183, 6, 260),
    "24_mnist": (7603, 100, 700),
    "25_musk": (3062, 166, 97),
    "26_optdigits": (5216, 64, 150),
    "27_PageBlocks": (5393, 10, 510),
    "28_pendigits": (6870, 16, 156),
    "29_Pima": (768, 8, 268),
    "30_satellite": (6435, 36, 2036),
    "31_satimage-2": (5803, 36, 71),
    "32_shuttle": (49097, 9, 3511),
    "33_skin": (245057, 3, 50859),
    "34_smtp": (95156, 3, 30),
    "35_SpamBase": (4207, 57, 1679),
    "36_speech": (3686, 400, 61),
    "37_Stamps": (340, 9, 31),
    "38_thyroid": (3772, 6, 93),
    "39_vertebral": (240, 6, 30),
    "40_vowels": (1456, 12, 50),
    "41_Waveform": (3443, 21, 100),
    "42_WBC": (223, 9, 10),
    "43_WDBC": (367, 30, 10),
    "44_Wilt": (4819, 5, 257),
    "45_wine": (129, 13, 10),
    "46_WPBC": (198, 33, 47),
    "47_yeast": (1484, 8, 507),
}

# number of images and of defective ones in each category of MVTec AD that is used here
_CATEGORIES = {
    "bottle": (292, 63),
    "cable": (374, 92),
    "carpet": (397, 89),
    "grid": (342, 57),
    "leather": (369, 92),
    "metal_nut": (335, 93),
    "screw": (480, 119),
    "toothbrush": (102, 30),
    "transistor": (313, 40),
    "wood": (326, 60),
}
_BACKBONES = {"vit": ("CV_by_ViT", 1000), "resnet18": ("CV_by_ResNet18", 512)}
_RECORDINGS = (
    "anomaly-free/anomaly-free",
    *(f"valve1/{i}" for i in range(16)),
    *(f"valve2/{i}" for i in range(4)),
    *(f"other/{i}" for i in range(1, 15)),
)


def _adbench(path: str, size: tuple[int, int, int]) -> DataFile:
    return DataFile(f"adbench/{path}", tuple(url + path for url in _ADBENCH), size=size)


ADBENCH = {
    name.split("_", 1)[1]: _adbench(f"Classical/{name}.npz", size) for name, size in _TABLES.items()
}
MVTEC = {
    backbone: {
        category: _adbench(f"{folder}/MVTec-AD_{category}.npz", (n, width, k))
        for category, (n, k) in _CATEGORIES.items()
    }
    for backbone, (folder, width) in _BACKBONES.items()
}
SKAB = {name: DataFile(f"skab/{name}.csv", (f"{_SKAB}{name}.csv",)) for name in _RECORDINGS}

"""
A table with words and gaps: horses with colic
==============================================

What veterinarians wrote down of 299 horses with colic: pulse and temperature in numbers,
extremities and pain in words, and a quarter of the cells empty, since not every horse was examined
for everything. Nothing is encoded or filled in here. Horses that lived are the normal rows; which
others died?
"""

# %%
# The table
# ---------
# From the UCI Machine Learning Repository (M. McLeish and M. Cecile, "Horse Colic", 1989, CC BY
# 4.0). The words are codes: ``ext3`` are cool extremities, ``pai5`` is severe pain all the time.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_fsad import InContextDetector, ProtoNetDetector
from sklearn_fsad.plotting import FeatureScoreDisplay

horses = pd.read_csv("horse_colic.csv")
lost = horses.pop("lost").to_numpy()
print(horses[["surgery", "pulse", "temperature", "extremities", "pain"]].head(4).to_string())
print(
    f"{lost.sum()} of {len(horses)} died; {horses.isna().mean().mean():.0%} of the cells are empty."
)

# %%
# Fifty horses that lived
# -----------------------

lived, died = np.flatnonzero(lost == 0), np.flatnonzero(lost == 1)
known = np.random.default_rng(0).choice(lived, 50, replace=False)
others = np.setdiff1d(np.arange(len(horses)), known)

detector = InContextDetector().fit(horses.iloc[known])
print(f"ROC AUC on the others: {detector.score(horses.iloc[others], lost[others]):.2f}")
shown = ["row", "flagged", "column_1", "value_1", "column_2", "value_2"]
print(detector.report(horses.iloc[others], top=5)[shown].to_string(index=False))

# %%
# Do the words and the gaps matter?
# ---------------------------------
# Mean over ten choices of the fifty, of all columns, of the numbers, and of the words alone.

numbers = horses.select_dtypes("number").columns
parts = {"all columns": horses.columns, "numbers": numbers, "words": horses.columns.drop(numbers)}
quality = {"InContextDetector": [], "ProtoNetDetector": []}
for kind in (InContextDetector, ProtoNetDetector):
    for columns in parts.values():
        aucs = []
        for draw in range(10):
            known = np.random.default_rng(draw).choice(lived, 50, replace=False)
            others = np.setdiff1d(np.arange(len(horses)), known)
            fitted = kind().fit(horses.iloc[known][columns])
            aucs.append(fitted.score(horses.iloc[others][columns], lost[others]))
        quality[kind.__name__].append(np.mean(aucs))

frame = pd.DataFrame(quality, index=list(parts))
print(frame.round(2).to_string())

ax = frame.plot.barh(figsize=(7, 3), xlim=(0.5, 0.8))
ax.invert_yaxis()
ax.set(xlabel="ROC AUC: which horses died")
ax.figure.tight_layout()
plt.show()

# %%
# What was wrong with the first five
# ----------------------------------

worst = horses.iloc[died].iloc[np.argsort(detector.score_samples(horses.iloc[died]))[:5]]
FeatureScoreDisplay.from_estimator(detector, worst)
plt.show()

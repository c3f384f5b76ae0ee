"""The HTML representation links to the page of an estimator, where the site has an address."""

from email.message import Message

import pytest
from sklearn.neighbors import LocalOutlierFactor

from sklearn_fsad import (
    AnomalyClassifier,
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
    PyODDetector,
    TaskEstimator,
)

ESTIMATORS = [
    InContextDetector(),
    MAMLDetector(),
    NeuralProcessDetector(),
    ProtoNetDetector(),
    AnomalyClassifier(ProtoNetDetector()),
    PyODDetector(None),
    TaskEstimator(ProtoNetDetector()),
]


def with_urls(monkeypatch, *urls):
    """Let the installed package have these addresses in its metadata."""
    told = Message()
    for url in urls:
        told["Project-URL"] = url
    monkeypatch.setattr("sklearn_fsad._version.metadata", lambda name: told)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_the_link_leads_to_the_page_of_the_estimator(estimator, monkeypatch):
    with_urls(monkeypatch, "Issues, https://a.invalid", "Documentation, https://b.invalid/stable/")
    page = f"https://b.invalid/stable/generated/sklearn_fsad.{type(estimator).__name__}.html"
    assert estimator._get_doc_link() == page
    assert page in estimator._repr_html_()


def test_there_is_no_link_without_an_address(monkeypatch):
    with_urls(monkeypatch, "Issues, https://a.invalid")
    for estimator in ESTIMATORS:
        assert estimator._get_doc_link() == ""
    assert "a.invalid" not in ProtoNetDetector()._repr_html_()


def test_a_subclass_of_a_user_links_nowhere(monkeypatch):
    class Mine(ProtoNetDetector):
        pass

    with_urls(monkeypatch, "Documentation, https://b.invalid")
    assert Mine()._get_doc_link() == ""
    assert "scikit-learn.org" in LocalOutlierFactor()._get_doc_link()

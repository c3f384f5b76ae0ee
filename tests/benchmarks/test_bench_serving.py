"""Test that the memory and the times of a service are measured in new processes."""

MODULES = ("speed.serving", "speed.service")


def test_a_row_is_timed_by_the_median_of_calls_after_the_first(bench, monkeypatch):
    service = bench.speed.service
    clock, calls = iter([0.0, 1.0, 1.0, 3.0, 3.0, 8.0]), []
    monkeypatch.setattr(service.time, "process_time", lambda: next(clock))
    assert service.milliseconds(calls.append, ["a", "b", "c"]) == 2000.0
    assert calls == ["a", "a", "b", "c"]


def test_each_detector_gets_a_row_of_each_table(bench, monkeypatch):
    serving = bench.speed.serving
    asked = []

    def figures(name, rounds):
        asked.append((name, rounds))
        return {"process": {"start, s": 2.5}, "row": {"predict": 0.25, "all": 0.25}}

    monkeypatch.setattr(serving, "measured", figures)
    (result,) = serving.run(type("Args", (), {"rounds": 3}))
    assert asked == [(name, 3) for name in bench.speed.service.DETECTORS]
    assert "| InContextDetector     |       2.50 |" in result.text

from __future__ import annotations

from edgenn.runtime.bench.profile import summarize


def event(name, op, us, provider="CPUExecutionProvider"):
    args = {"op_name": op, "provider": provider}
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": us, "args": args}


def test_times_of_the_warm_runs_by_type_and_node():
    cold = [event("a", "Conv", 900), event("b", "Conv", 900), event("c", "Relu", 900)]
    warm = [event("a", "Conv", 50), event("b", "Conv", 30), event("c", "Relu", 20)]
    other = [{"cat": "Session", "name": "model_run", "dur": 5000, "args": {}}]
    found = summarize([*cold, *warm, *other, *warm], warm_up=1)
    assert [(op.name, op.count, op.us, op.share) for op in found.types] == [
        ("Conv", 2, 80, 0.8),
        ("Relu", 1, 20, 0.2),
    ]
    assert [op.name for op in found.nodes] == ["a", "b", "c"]
    assert found.runs == 2


def test_one_type_at_two_providers_is_told_apart():
    events = [event("a", "Conv", 5), event("b", "Conv", 7, "CUDAExecutionProvider")]
    found = summarize(events, warm_up=0)
    assert [op.provider for op in found.types] == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_nothing_but_cold_runs_is_no_profile():
    assert summarize([event("a", "Conv", 5)], warm_up=3) is None


def test_less_than_a_microsecond_counts_and_a_hiccup_does_not():
    found = summarize([event("a", "Add", us) for us in (0, 1, 0, 1, 0, 1, 0, 900)], warm_up=0)
    assert found.types[0].us == 0.5


def test_nothing_that_takes_any_time_is_no_profile():
    assert summarize([event("a", "Add", 0)] * 5, warm_up=1) is None

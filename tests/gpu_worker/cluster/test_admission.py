"""Which nodes of a cluster are let in."""

from __future__ import annotations

import threading
from typing import Any

from gpu_worker.cluster.admission import PROBE_RETRY_S, VERSION_LABEL, NodeAdmission, local_version
from gpu_worker.cluster.nodes import describe_nodes


class Reach:
    """What can be reached, and how often it was tried."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.tries = 0
        self.tried = threading.Event()

    def __call__(self, host: str, port: int) -> bool:
        self.tries += 1
        self.tried.set()
        return self.answer


def node(version: str | None = "1-1", **more: Any) -> dict[str, Any]:
    labels = {} if version is None else {VERSION_LABEL: version}
    place = {"NodeID": "n1", "NodeManagerAddress": "10.0.0.2", "NodeManagerPort": 6380, "Alive": True}
    return {**place, "Resources": {"GPU": 2.0}, "Labels": labels, **more}


def settled(gate: NodeAdmission, of: dict[str, Any]) -> str:
    while (said := gate.refusal_reason(of)) is None:
        pass
    return said


def test_a_node_of_our_version_that_answers_is_let_in_and_tried_once() -> None:
    reach = Reach(True)
    gate = NodeAdmission("1-1", reach)
    assert settled(gate, node()) == ""
    assert settled(gate, node()) == ""
    assert reach.tries == 1


def test_a_node_of_another_version_is_refused_untried_naming_both() -> None:
    reach = Reach(True)
    gate = NodeAdmission("1-1", reach)
    assert (
        gate.refusal_reason(node("0.9-1")) == "it runs LoraCode 0.9-1 and we 1-1; install the same everywhere"
    )
    assert "not started by gpu_worker.cluster.start" in (gate.refusal_reason(node(None)) or "")
    assert reach.tries == 0


def test_a_node_that_does_not_answer_is_refused_and_tried_later() -> None:
    now_s = [100.0]
    reach = Reach(False)
    gate = NodeAdmission("1-1", reach, lambda: now_s[0])
    assert settled(gate, node()) == "10.0.0.2:6380 cannot be reached from here; open the way to it"
    assert settled(gate, node()) != ""
    assert reach.tries == 1
    reach.answer = True
    now_s[0] += PROBE_RETRY_S + 1
    gate.refusal_reason(node())
    assert settled(gate, node()) == ""


def test_live_nodes_with_gpus_are_listed_once_they_are_checked() -> None:
    gate = NodeAdmission("1-1", Reach(True))
    settled(gate, node())
    told = describe_nodes([node(), node(Alive=False), node(Resources={}), node("2-2", NodeID="n2")], gate)
    assert [(each["id"], each["cards"], bool(each["refused"])) for each in told] == [
        ("n1", 2, False),
        ("n2", 2, True),
    ]


def test_our_version_is_a_label_that_ray_takes() -> None:
    assert local_version().replace(".", "").replace("-", "").isalnum()

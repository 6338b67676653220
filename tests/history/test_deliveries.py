from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from backyard.core.errors import UnknownDeliveryError, UnknownWebhookError
from backyard.core.webhooks import NewWebhook, WebhookChange
from backyard.history import tables
from backyard.history.database import History
from backyard.history.deliveries import Outcome, claim, deliveries_of, delivery_of, enqueue, redeliver, settle
from backyard.history.recorder import OvertakenError, Recorder
from backyard.history.webhooks import create_webhook, delete_webhook, update_webhook, webhook_of, webhooks_of
from support.news import Teller

LATER = 9_000_000_000_000


def recorder_of(history: History) -> Recorder:
    recorder = Recorder(history, lambda _: {}, enqueue)
    if recorder.position() is None:
        recorder.begin("0-0")
    return recorder


def bodies_of(history: History) -> list[dict[str, object]]:
    with history.reading() as connection:
        rows = connection.execute(select(tables.deliveries.c.body).order_by(tables.deliveries.c.delivery_id))
        return [json.loads(body) for (body,) in rows]


def hook(history: History, name: str, names: list[str] | None = None, states: list[str] | None = None) -> None:
    wanted = NewWebhook.model_validate({"url": f"https://h/{name}", "names": names or [], "states": states or []})
    create_webhook(history, name, wanted, f"key of {name}", 1)


def test_final_states_make_messages_to_whom_they_concern(history: History) -> None:
    hook(history, "all")
    hook(history, "mails", ["mail"])
    hook(history, "failures", states=["FAILURE", "REVOKED"])
    teller = Teller()
    told = teller.whole("t1", "mail", input={"to": "sealed:1:00000000:abc"}, webhook="https://own/")
    told += [*teller.whole("t2", "report", "FAILURE"), teller.born("t3", "mail", webhook="https://own/")]
    recorder_of(history).record(told)
    found = {(one.task_id, one.webhook_id, one.url) for one in deliveries_of(history, 50)[0]}
    assert found == {
        ("t1", "all", "https://h/all"), ("t1", "mails", "https://h/mails"), ("t1", None, "https://own/"),
        ("t2", "all", "https://h/all"), ("t2", "failures", "https://h/failures"),
    }  # fmt: skip
    first = bodies_of(history)[0]
    assert (first["type"], first["data"]["task_id"], first["data"]["state"]) == ("task.success", "t1", "SUCCESS")  # type: ignore[index]  # JSON
    assert first["data"]["input"] == {"to": "**********"}  # type: ignore[index]  # JSON


def test_what_is_recorded_twice_or_by_two_makes_each_message_once(history: History) -> None:
    teller = Teller()
    told = teller.whole("t1", webhook="https://own/")
    first, second = recorder_of(history), recorder_of(history)
    first.record(told)
    with pytest.raises(OvertakenError):
        second.record(told)
    (due,) = claim(history, LATER, LATER + 1, 10)
    assert settle(history, due, Outcome("delivered", 204, None, 0.1, LATER))
    recorder_of(history).record(told)
    (one,) = deliveries_of(history, 50)[0]
    assert (one.state, one.attempts, one.status) == ("delivered", 1, 204)


def test_an_id_that_runs_again_is_told_of_again(history: History) -> None:
    teller = Teller()
    told = teller.whole("t1", webhook="https://own/")
    teller.later(5)
    recorder_of(history).record([*told, *teller.whole("t1", state="FAILURE", webhook="https://own/")])
    assert [body["type"] for body in bodies_of(history)] == ["task.success", "task.failure"]


def test_a_huge_task_is_told_of_without_its_input_and_result(history: History) -> None:
    teller = Teller()
    recorder_of(history).record(teller.whole("t1", input={"text": "ü" * 200_000}, webhook="https://own/"))
    (body,) = bodies_of(history)
    assert body["left_out"] == ["input", "result"]
    assert (body["data"]["input"], body["data"]["task_id"]) == (None, "t1")  # type: ignore[index]  # JSON


def test_a_message_is_ours_alone_until_the_claim_ends(history: History) -> None:
    teller = Teller()
    told = teller.whole("t1", webhook="https://own/") + teller.whole("t2", webhook="https://busy/")
    recorder_of(history).record(told)
    assert claim(history, 5, 10, 10) == []
    (first,) = claim(history, LATER, LATER + 60, 10, ["https://busy/"])
    assert [due.url for due in claim(history, LATER + 59, LATER + 90, 10)] == ["https://busy/"]
    (second,) = claim(history, LATER + 60, LATER + 120, 10)
    assert (second.delivery_id, second.attempts) == (first.delivery_id, 0)
    assert not settle(history, first, Outcome("delivered", 204, None, 0.1, LATER))
    assert delivery_of(history, first.delivery_id).state == "waiting"
    assert settle(history, second, Outcome("waiting", 500, "It answered 500.", 0.1, LATER, LATER + 500))
    again = delivery_of(history, first.delivery_id)
    assert (again.state, again.attempts, again.status, again.error) == ("waiting", 1, 500, "It answered 500.")


def test_of_many_that_claim_at_once_one_gets_each_message(history: History) -> None:
    teller = Teller()
    told = [one for number in range(40) for one in teller.whole(f"t{number}", webhook="https://own/")]
    recorder_of(history).record(told)
    start = threading.Barrier(4)

    def take(_: int) -> list[str]:
        start.wait()
        return [due.delivery_id for _ in range(4) for due in claim(history, LATER, LATER + 60, 40)]

    with ThreadPoolExecutor(4) as pool:
        taken = [one for part in pool.map(take, range(4)) for one in part]
    assert (len(taken), len(set(taken))) == (40, 40)


def test_whoever_is_gone_is_told_no_more_until_enabled(history: History) -> None:
    hook(history, "w")
    teller = Teller()
    recorder_of(history).record(teller.whole("t1") + teller.whole("t2"))
    one, two = claim(history, LATER, LATER + 60, 10)
    assert (one.secret, one.enabled) == ("key of w", True)
    settle(history, one, Outcome("given_up", 410, "It answered 410.", 0.1, LATER, gone=True))
    assert not webhook_of(history, "w").enabled
    recorder_of(history).record(teller.whole("t3"))
    assert len(deliveries_of(history, 50)[0]) == 2
    (late,) = claim(history, LATER + 60, LATER + 120, 10)
    assert (late.delivery_id, late.enabled) == (two.delivery_id, False)
    assert update_webhook(history, "w", WebhookChange(enabled=True)).enabled
    (late,) = claim(history, LATER + 120, LATER + 180, 10)
    assert late.enabled
    delete_webhook(history, "w")
    assert webhooks_of(history) == []
    (late,) = claim(history, LATER + 180, LATER + 240, 10)
    assert (late.enabled, late.secret) == (False, None)
    for verb in (delete_webhook, webhook_of, lambda past, known: update_webhook(past, known, WebhookChange(names=[]))):
        with pytest.raises(UnknownWebhookError, match="GET /webhooks"):
            verb(history, "w")


def test_a_webhook_is_changed_in_what_is_named(history: History) -> None:
    hook(history, "w", ["f"])
    before = webhook_of(history, "w")
    assert update_webhook(history, "w", WebhookChange()) == before
    changed = update_webhook(history, "w", WebhookChange(url="https://new.example/", states=["FAILURE"]))
    assert changed == before.model_copy(update={"url": "https://new.example/", "states": ["FAILURE"]})
    assert update_webhook(history, "w", WebhookChange(names=[], enabled=False)).names == []
    recorder_of(history).record(Teller().whole("t1", "f", "FAILURE"))
    assert deliveries_of(history, 50)[0] == []


def test_the_log_has_pages_and_filters(history: History) -> None:
    hook(history, "w", ["g"])
    teller = Teller()
    told = []
    for number in range(7):
        told += teller.whole(f"t{number}", "g" if number % 2 else "f", webhook="https://own/")
    recorder_of(history).record(told)
    whole, end = deliveries_of(history, 50)
    assert (len(whole), end) == (10, None)
    found, after = deliveries_of(history, 3)
    while after is not None:
        page, after = deliveries_of(history, 3, after=after)
        found += page
    assert found == whole
    assert [one.task_id for one in deliveries_of(history, 50, webhook_id="w")[0]] == ["t5", "t3", "t1"]
    assert len(deliveries_of(history, 50, task_id="t5")[0]) == 2
    assert deliveries_of(history, 50, state="given_up")[0] == []


def test_any_message_can_be_sent_again(history: History) -> None:
    recorder_of(history).record(Teller().whole("t1", webhook="https://own/"))
    (due,) = claim(history, LATER, LATER + 60, 10)
    settle(history, due, Outcome("given_up", 500, "It answered 500.", 0.1, LATER))
    assert claim(history, LATER + 100, LATER + 200, 10) == []
    view = redeliver(history, due.delivery_id, LATER + 100)
    assert (view.state, view.attempts, view.date_done) == ("waiting", 0, None)
    (again,) = claim(history, LATER + 100, LATER + 200, 10)
    assert again.delivery_id == due.delivery_id
    with pytest.raises(UnknownDeliveryError, match="GET /webhooks/deliveries"):
        redeliver(history, "nothing", LATER)

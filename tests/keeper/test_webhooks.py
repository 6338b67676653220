from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backyard import Backyard, Settings
from backyard.core.errors import DefinitionError, InvalidInputError
from backyard.core.vault import Vault
from backyard.core.webhooks import MOST_ATTEMPTS, NewWebhook, key_of, new_secret, place_of
from backyard.history.database import History
from backyard.history.deliveries import deliveries_of, enqueue, enqueue_test, redeliver
from backyard.history.migrate import migrate
from backyard.history.recorder import Recorder
from backyard.history.webhooks import create_webhook, webhook_of
from backyard.keeper.webhooks import AT_ONCE, CLAIM, EACH, Deliver, Sender
from support.clean import wait_until
from support.keepers import start_keeper
from support.news import Teller
from support.processes import free_port
from support.receiver import KEY, SECRET, Receiver, receiving

TRUSTING = Sender(SECRET, private=True)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def past(history: History) -> History:
    migrate(history)
    return history


Maker = Callable[..., Deliver]


@pytest.fixture
def deliver(past: History, clock: Clock) -> Iterator[Maker]:
    """Makes duties, and closes them."""
    made: list[Deliver] = []

    def make(sender: Sender = TRUSTING) -> Deliver:
        made.append(Deliver(past, sender, clock))
        return made[-1]

    yield make
    for duty in made:
        duty.close()


def tell(history: History, *urls: str) -> None:
    """Record tasks that end, and are to be told of."""
    recorder = Recorder(history, lambda _: {}, enqueue)
    if recorder.position() is None:
        recorder.begin("0-0")
    teller = Teller()
    recorder.record([one for n, url in enumerate(urls) for one in teller.whole(f"t{n}", webhook=url)])


def settle(duty: Deliver) -> None:
    """Take steps until nothing is on its way any more."""
    duty.step()
    wait_until(lambda: duty.step() > 0, "all answers")


def test_a_message_comes_once_with_a_signature(past: History, receiver: Receiver, clock: Clock, deliver: Maker) -> None:
    tell(past, f"{receiver.url}/hook?x=1")
    duty = deliver()
    settle(duty)
    (came,) = receiver.received
    assert came.path == "/hook?x=1"
    assert came.signed_by(KEY)
    assert not came.signed_by(b"another")
    assert came.headers["webhook-timestamp"] == str(int(clock.now))
    assert came.headers["content-type"] == "application/json"
    assert came.headers["host"] == receiver.url.removeprefix("http://")
    assert (came.message["type"], came.message["data"]["task_id"]) == ("task.success", "t0")
    (view,) = deliveries_of(past, 10)[0]
    assert (view.delivery_id, view.state, view.attempts, view.status) == (came.id, "delivered", 1, 204)


def test_failures_are_tried_again_for_a_day(past: History, receiver: Receiver, clock: Clock, deliver: Maker) -> None:
    tell(past, receiver.url)
    receiver.answers += [500] * 100
    duty, waits = deliver(), []
    for number in range(1, MOST_ATTEMPTS + 1):
        settle(duty)
        (view,) = deliveries_of(past, 10)[0]
        assert (view.attempts, view.status, len(receiver.received)) == (number, 500, number)
        assert view.error is not None
        assert view.error.startswith("It answered 500: because xxx")
        assert len(view.error) < 600
        if view.date_next is None:
            break
        waits.append(view.date_next.timestamp() - clock.now)
        clock.now = view.date_next.timestamp()
    assert view.state == "given_up"
    assert 4 <= waits[0] <= 5
    assert 8 <= waits[1] <= 10
    assert 20 * 3600 < sum(waits) < 28 * 3600
    assert len({came.id for came in receiver.received}) == 1
    assert len({came.headers["webhook-timestamp"] for came in receiver.received}) == MOST_ATTEMPTS
    receiver.answers.clear()
    redeliver(past, view.delivery_id, int(clock.now * 1000))
    settle(duty)
    assert deliveries_of(past, 10)[0][0].state == "delivered"
    assert receiver.received[-1].id == view.delivery_id


def test_whoever_is_gone_is_asked_once(past: History, receiver: Receiver, clock: Clock, deliver: Maker) -> None:
    create_webhook(past, "w", NewWebhook(url=receiver.url), SECRET, 1)
    tell(past, "")
    receiver.answers.append(410)
    duty = deliver()
    settle(duty)
    (view,) = deliveries_of(past, 10)[0]
    assert (view.state, view.status, view.webhook_id) == ("given_up", 410, "w")
    assert not webhook_of(past, "w").enabled
    redeliver(past, view.delivery_id, int(clock.now * 1000))
    settle(duty)
    (view,) = deliveries_of(past, 10)[0]
    assert (view.state, len(receiver.received)) == ("given_up", 1)
    assert view.error is not None
    assert "disabled" in view.error
    enqueue_test(past, "w", receiver.url, int(clock.now * 1000))
    settle(duty)
    assert receiver.received[-1].message["type"] == "ping"


@pytest.mark.parametrize("status", [301, 307])
def test_redirects_are_not_followed(past: History, receiver: Receiver, deliver: Maker, status: int) -> None:
    tell(past, receiver.url)
    receiver.answers.append(status)
    settle(deliver())
    assert [came.path for came in receiver.received] == ["/"]
    (view,) = deliveries_of(past, 10)[0]
    assert (view.state, view.status) == ("waiting", status)
    assert "not followed" in (view.error or "")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "0"])
def test_private_addresses_are_refused(past: History, receiver: Receiver, deliver: Maker, host: str) -> None:
    port = receiver.url.rpartition(":")[2]
    tell(past, f"http://{host}:{port}/")
    settle(deliver(Sender(SECRET)))
    assert receiver.received == []
    (view,) = deliveries_of(past, 10)[0]
    assert view.state == "waiting"
    assert "no public address. Set BACKYARD_WEBHOOK_PRIVATE=1" in (view.error or "")


def test_a_name_is_kept_where_its_address_is_connected_to(past: History, receiver: Receiver, deliver: Maker) -> None:
    port = receiver.url.rpartition(":")[2]
    tell(past, f"http://localhost:{port}/")
    settle(deliver())
    (came,) = receiver.received
    assert came.headers["host"] == f"localhost:{port}"


def test_what_cannot_be_reached_is_tried_again(past: History, deliver: Maker) -> None:
    tell(past, f"http://127.0.0.1:{free_port()}/", "http://no-such-host.invalid/", "http://127.0.0.1:1/ü")
    settle(deliver())
    found = deliveries_of(past, 10)[0]
    assert [(one.state, one.attempts, one.status) for one in found] == [("waiting", 1, None)] * 3
    assert "no-such-host.invalid cannot be looked up" in (found[1].error or "")


def test_a_message_that_a_dead_keeper_took_is_sent_by_another(
    past: History, receiver: Receiver, clock: Clock, deliver: Maker
) -> None:
    tell(past, receiver.url)
    held = threading.Event()
    receiver.answers.append(held)
    dead, other = deliver(), deliver()
    wait_until(lambda: dead.step() == 0 and receiver.received, "the first message")
    settle(other)
    assert len(receiver.received) == 1
    clock.now += CLAIM
    settle(other)
    assert [came.id for came in receiver.received] == [receiver.received[0].id] * 2
    held.set()
    wait_until(lambda: dead.step() > 0, "the late answer")  # and what the dead one would write is dropped
    (view,) = deliveries_of(past, 10)[0]
    assert (view.state, view.attempts) == ("delivered", 1)


def test_a_receiver_that_hangs_holds_no_other_up(past: History, receiver: Receiver, deliver: Maker) -> None:
    with receiving() as slow:
        events = [threading.Event() for _ in range(AT_ONCE * 2)]
        slow.answers += events
        tell(past, *[slow.url] * (AT_ONCE * 2), *[receiver.url] * 5)
        duty = deliver()
        wait_until(
            lambda: duty.step() == 0 and len(receiver.received) == 5 and len(slow.received) >= EACH,
            "the others' messages",
        )
        assert len(slow.received) < AT_ONCE
        for event in events:
            event.set()
        settle(duty)
    assert {one.state for one in deliveries_of(past, 100)[0]} == {"delivered"}


def test_secrets_of_the_yards_own_webhooks(past: History, receiver: Receiver, deliver: Maker) -> None:
    vault, plain, sealed = Vault(["k" * 40]), new_secret(), new_secret()
    create_webhook(past, "a", NewWebhook(url=receiver.url + "/a"), plain, 1)
    create_webhook(past, "b", NewWebhook(url=receiver.url + "/b"), vault.seal(sealed.encode(), place_of("b")), 1)
    tell(past, "")
    settle(deliver(Sender(None, vault, private=True)))
    came = {one.path: one for one in receiver.received}
    assert came["/a"].signed_by(key_of(plain))
    assert came["/b"].signed_by(key_of(sealed))
    tell(past, receiver.url)
    settle(deliver(Sender(None, None, private=True)))
    errors = " ".join(one.error or "" for one in deliveries_of(past, 10)[0])
    assert "set BACKYARD_WEBHOOK_SECRET" in errors
    assert len(receiver.received) == 2


# -- declared, submitted, delivered -------------------------------------------------------------------------------


def yard_of(environment: dict[str, str], **settings: object) -> Backyard:
    known = Settings(
        redis_url=environment["BACKYARD_REDIS_URL"], data_dir=Path(environment["BACKYARD_DATA_DIR"]), **settings  # type: ignore[arg-type]  # checked by the settings
    )  # fmt: skip
    return Backyard(environment["TEST_YARD"], settings=known)


def test_definitions_and_submits_are_refused_what_cannot_be_told(environment: dict[str, str]) -> None:
    keyless = yard_of(environment)
    with pytest.raises(DefinitionError, match=r"'f' has a webhook .* Set BACKYARD_WEBHOOK_SECRET"):
        keyless.task(name="f", webhook="https://h/")(lambda: None)
    yard = yard_of(environment, webhook_secret=SECRET)
    with pytest.raises(DefinitionError, match=r"'f' has a webhook .* no public address"):
        yard.task(name="f", webhook="http://10.0.0.1/")(lambda: None)

    @yard.task(webhook="https://H.example/x")
    def told() -> None: ...

    with pytest.raises(InvalidInputError, match="no public address") as caught:
        told.with_options(webhook="http://[::1]/").submit_sync()
    assert caught.value.errors[0]["location"] == ["webhook"]
    first, second = told.submit_sync(), told.with_options(webhook="https://other/").submit_sync()
    third = told.delay()
    kept = [yard.ledger.record(one).text("webhook") for one in (first.task_id, second.task_id, third.id)]
    assert kept == ["https://h.example/x", "https://other/", "https://h.example/x"]


def test_a_keeper_that_is_killed_as_it_sends_loses_nothing(
    environment: dict[str, str], history: History, receiver: Receiver
) -> None:
    environment |= {"BACKYARD_WEBHOOK_SECRET": SECRET, "BACKYARD_WEBHOOK_PRIVATE": "1"}
    yard = yard_of(environment, webhook_secret=SECRET, webhook_private=True)
    receiver.answers.append(threading.Event())

    @yard.task(webhook=receiver.url)
    def told() -> None: ...

    keeper = start_keeper(environment)
    try:
        late = told.with_options(delay=600).submit_sync()
        assert yard.cancel_sync([late.task_id]) == {late.task_id: "cancelled"}
        wait_until(lambda: receiver.received, "the first message")
    finally:
        keeper.kill()
        keeper.end()
    keeper = start_keeper(environment)
    try:
        wait_until(lambda: [one.state for one in deliveries_of(history, 10)[0]] == ["delivered"], "the second")
    finally:
        assert keeper.stop() == 0
    assert len({came.id for came in receiver.received}) == 1
    assert all(came.signed_by(KEY) for came in receiver.received)
    assert receiver.received[-1].message["type"] == "task.revoked"

from __future__ import annotations

from backyard import Backyard


def declare(yard: Backyard, *queues: str) -> None:
    def work() -> None:
        pass

    for queue in queues:
        yard.task(name=f"into_{queue}", queue=queue)(work)


def test_celerys_own_worker_reads_the_queues_of_all_definitions(new_yard: Backyard) -> None:
    declare(new_yard, "mail", "images", "payments")

    assert list(new_yard.celery.amqp.queues.consume_from) == ["default", "mail", "images", "payments"]
    assert new_yard.queues() == ["default", "mail", "images", "payments"]


def test_a_worker_that_was_told_its_queues_keeps_to_those(new_yard: Backyard) -> None:
    declare(new_yard, "mail", "images")
    new_yard.celery.amqp.queues.select(["mail"])

    declare(new_yard, "late")

    assert list(new_yard.celery.amqp.queues.consume_from) == ["mail"]
    assert "late" in new_yard.celery.amqp.queues

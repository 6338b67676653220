"""The demo as its users meet it: a worker and an API in processes of their own, and HTTP between us and them."""

from __future__ import annotations

import io
import json
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

import openpyxl
import polars as pl
import pypdf
import pytest
from aiosmtpd.controller import Controller
from httpx2 import Client
from sklearn.datasets import load_digits

from support.processes import Process, free_port, running_api, start_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFINITIONS = {"sleep_task", "calculation_task", "send_email", "build_report", "classify_digits", "run_pipeline"}
PATIENCE = 60


class Mailbox:
    """Keeps the mails it gets; the first one it is offered it puts off."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self.offers = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002 - aiosmtpd's name
        self.offers += 1
        if self.offers == 1:
            return "451 4.7.1 come back later"
        self.contents.append(envelope.content)
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802, ARG002
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"


@pytest.fixture(scope="module")
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture(scope="module")
def demo_environment(stack_environment: dict[str, str], mailbox: Mailbox) -> Iterator[dict[str, str]]:
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), ready_timeout=60)
    controller.start()
    yield {**stack_environment, "BACKYARD_SMTP_URL": f"smtp://127.0.0.1:{controller.port}"}
    controller.stop()


@pytest.fixture(scope="module")
def demo_worker(demo_environment: dict[str, str]) -> Iterator[Process]:
    process = start_worker(demo_environment, target="backyard.demo:yard.celery")
    yield process
    process.end()


@pytest.fixture(scope="module")
def client(demo_environment: dict[str, str], demo_worker: Process) -> Iterator[Client]:
    assert demo_worker.child.poll() is None
    with (
        running_api(demo_environment, "backyard.demo:app") as api,
        Client(base_url=api.url, timeout=PATIENCE + 10) as client,
    ):
        yield client


def run(client: Client, name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Submit a task and wait until it is final."""
    answer = client.post(f"/tasks/{name}", json=data)
    assert answer.status_code == 201, answer.text
    task = client.get(answer.headers["location"], params={"wait": 30}).json()
    while task["state"] not in ("SUCCESS", "FAILURE", "REVOKED"):
        task = client.get(answer.headers["location"], params={"wait": 30}).json()
    assert isinstance(task, dict)
    return task


def succeed(client: Client, name: str, data: dict[str, Any]) -> dict[str, Any]:
    task = run(client, name, data)
    assert task["state"] == "SUCCESS", task["failure"]
    assert task["progress"] == 100
    result = task["result"]
    assert isinstance(result, dict)
    return result


def upload(client: Client, name: str, content: bytes) -> str:
    answer = client.post("/files", files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["file_id"])


def download(client: Client, url: str) -> bytes:
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_the_six_definitions_are_there_with_schema_and_example(client: Client) -> None:
    assert {row["name"] for row in client.get("/definitions").json()} == DEFINITIONS
    document = client.get("/openapi.json").json()
    for name in DEFINITIONS:
        operation = document["paths"][f"/tasks/{name}"]["post"]
        assert len(operation["description"]) > 60
        assert "example" in json.dumps(operation["requestBody"])
    assert "/run-task/" in document["paths"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_quick_start_runs_a_task_and_tells_how_it_is(client: Client, method: str) -> None:
    answer = client.request(method, "/run-task/", params={"duration": 1})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    submitted = answer.json()
    assert submitted == {"task_id": submitted["task_id"], "status": "Task submitted"}
    assert client.get(f"/tasks/{submitted['task_id']}", params={"wait": 30}).json()["state"] == "SUCCESS"
    status = client.get(f"/task-status/{submitted['task_id']}").json()
    assert set(status) == {"status", "result"}
    assert status["status"] == "SUCCESS"
    assert status["result"]["duration"] == 1


def test_the_quick_start_says_null_before_there_is_a_result(client: Client) -> None:
    task_id = client.post("/run-task/", params={"duration": 300}).json()["task_id"]
    status = client.get(f"/task-status/{task_id}").json()
    assert status["status"] in ("PENDING", "STARTED", "PROGRESS")
    assert status["result"] is None
    assert client.delete(f"/tasks/{task_id}").status_code == 204
    assert client.get(f"/tasks/{task_id}", params={"wait": 30}).json()["state"] == "REVOKED"


@pytest.mark.parametrize("duration", ["0", "301", "x", "", None])
def test_the_quick_start_refuses_what_the_task_refuses(client: Client, duration: str | None) -> None:
    parameters = {} if duration is None else {"duration": duration}
    answer = client.get("/run-task/", params=parameters)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.post("/tasks/sleep_task", json=parameters).status_code == 422


def test_the_quick_start_knows_no_unknown_task(client: Client) -> None:
    answer = client.get("/task-status/018f0000-0000-7000-8000-000000000000")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_task")


def test_sleep_shows_its_progress_while_it_runs(client: Client) -> None:
    task_id = client.post("/tasks/sleep_task", json={"duration": 2}).json()["task_id"]
    with client.stream("GET", f"/tasks/{task_id}/events") as stream:
        seen = [line for line in stream.iter_lines() if line.startswith("data:")]
    assert any("Slept 1 of 2 s" in line for line in seen)
    assert client.get(f"/tasks/{task_id}").json()["result"]["duration"] == 2


def test_a_calculation_comes_back(client: Client) -> None:
    result = succeed(client, "calculation_task", {"limit": 1_000_000})
    assert (result["primes"], result["twins"], result["largest"]) == (78_498, 8_169, 999_983)


def test_a_report_of_an_uploaded_table_downloads_as_both_files(client: Client) -> None:
    table = "date,region,product,quantity,unit_price\n2025-03-01,Nörd,Hammock,2,69.90\n2025-04-02,South,=cmd,1,5.00\n"
    result = succeed(client, "build_report", {"file": upload(client, "sales.csv", table.encode()), "title": "Spring"})
    assert (result["rows"], result["revenue"], result["pages"]) == (2, "144.80", 3)
    pages = pypdf.PdfReader(io.BytesIO(download(client, result["pdf_url"]))).pages
    assert "Spring" in pages[0].extract_text()
    assert "Nörd" in pages[2].extract_text()
    book = openpyxl.load_workbook(io.BytesIO(download(client, result["workbook_url"])))
    assert book["Sales"]["F3"].value == "=D3*E3"
    assert book["Sales"]["C3"].data_type == "s"


def test_a_report_of_the_bundled_table_downloads_as_both_files(client: Client) -> None:
    result = succeed(client, "build_report", {})
    assert (result["rows"], result["revenue"]) == (2_000, "280628.89")
    answer = client.get(result["pdf_url"])
    assert answer.headers["content-type"] == "application/pdf"
    assert len(pypdf.PdfReader(io.BytesIO(answer.content)).pages) == result["pages"]
    answer = client.get(result["workbook_url"])
    assert answer.headers["content-type"].endswith("spreadsheetml.sheet")
    assert openpyxl.load_workbook(io.BytesIO(answer.content)).sheetnames == ["Summary", "Sales"]


def test_a_table_that_is_none_fails_with_a_sentence(client: Client) -> None:
    task = run(client, "build_report", {"file": upload(client, "sales.csv", b"date,region\n1,2\n")})
    assert (task["state"], task["attempt"]) == ("FAILURE", 1)
    assert "lacks the columns product, quantity, unit_price" in task["failure"]["message"]
    assert task["artifacts"] == []


def test_a_mail_put_off_by_the_server_arrives_on_a_later_attempt(client: Client, mailbox: Mailbox) -> None:
    content = bytes(range(256)) * 100
    mailbox.offers = 0
    task = run(
        client,
        "send_email",
        {
            "to": ["ada@example.com", "nobody@example.com"],
            "subject": "Grüße",
            "text": "Dear Ada\n",
            "attachments": [{"name": "all.bin", "file": upload(client, "x.bin", content)}],
        },
    )
    assert (task["state"], task["attempt"]) == ("SUCCESS", 2), task["failure"]
    assert task["result"]["accepted"] == ["ada@example.com"]
    assert task["result"]["refused"][0]["code"] == 550
    mail = message_from_bytes(mailbox.contents[-1], policy=default)
    assert mail["Message-ID"] == task["result"]["message_id"] == f"<{task['task_id']}@localhost>"
    (part,) = mail.iter_attachments()
    assert part.get_payload(decode=True) == content


def test_a_mail_that_nobody_takes_is_tried_once(client: Client) -> None:
    task = run(client, "send_email", {"to": ["nobody@example.com"], "subject": "", "text": ""})
    assert (task["state"], task["attempt"]) == ("FAILURE", 1)
    assert "550 5.1.1 no such mailbox" in task["failure"]["message"]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("send_email", {"to": ["nobody"], "subject": "", "text": ""}),
        ("classify_digits", {"images": []}),
        ("run_pipeline", {"rows": 1_000_001}),
        ("calculation_task", {"limit": 0}),
        ("build_report", {"currency": "euros"}),
    ],
)
def test_bad_input_is_refused_at_the_door(client: Client, name: str, wrong: dict[str, Any]) -> None:
    answer = client.post(f"/tasks/{name}", json=wrong)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


def test_all_digits_are_read_over_http(client: Client) -> None:
    digits = load_digits()
    result = succeed(client, "classify_digits", {"images": digits.images.astype(int).tolist()})
    read = [row["digit"] for row in result["predictions"]]
    assert (digits.target == read).mean() >= 0.95
    assert (digits.target == read)[-result["model"]["held_out"] :].mean() >= 0.94
    assert all(abs(sum(row["probabilities"]) - 1) < 1e-9 for row in result["predictions"])


def test_a_pipeline_of_an_uploaded_table_gives_back_every_row(client: Client) -> None:
    header = "order_id,ordered_on,country,category,quantity,unit_price\n"
    table = header + "A1,2025-03-01,DE,books,2,10.50\nA2,2025-03-01,XX,books,1,1\nA1,2025-03-01,DE,books,1,1\n"
    result = succeed(client, "run_pipeline", {"file": upload(client, "orders.csv", table.encode())})
    assert (result["rows_in"], result["rows_out"], result["rows_rejected"]) == (3, 1, 2)
    assert result["rejected"] == {"duplicate_order": 1, "unknown_country": 1}
    orders = pl.read_parquet(io.BytesIO(download(client, result["orders_url"])))
    assert orders["region"].to_list() == ["Central Europe"]
    assert pl.read_parquet(io.BytesIO(download(client, result["rejected_url"])))["row"].to_list() == [2, 3]
    assert (
        download(client, result["summary_url"])
        .decode()
        .splitlines()[1]
        .startswith("Central Europe,Germany,2025-03,1,2,21")
    )


def test_an_unknown_file_fails_the_task_and_says_so(client: Client) -> None:
    task = run(client, "run_pipeline", {"file": "0" * 32})
    assert task["state"] == "FAILURE"
    assert task["failure"]["type"] == "UnknownFileError"

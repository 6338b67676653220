"""The quick start: two routes by which many people first met a task queue."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from backyard import State
from backyard.demo.demo_yard import yard
from backyard.demo.sleep import Duration, sleep_task

router = APIRouter(tags=["quick start"])


class Submitted(BaseModel):
    """A task that now waits for a worker."""

    task_id: str
    status: str = "Task submitted"


class TaskStatus(BaseModel):
    """Where a task stands."""

    status: State
    result: Any = Field(description="What the task returned, or why its latest attempt failed; null before that")


@router.get("/run-task/", summary="Submit a sleep task")
@router.post("/run-task/", summary="Submit a sleep task")
async def run_task(duration: Duration, response: Response) -> Submitted:
    """Submit a task that sleeps. GET and POST do the same, so that a browser's address bar is enough."""
    response.headers["Cache-Control"] = "no-store"  # each GET makes a task, and a cache would make none
    handle = await sleep_task.submit(duration)
    return Submitted(task_id=handle.task_id)


@router.get("/task-status/{task_id}", summary="Ask how a task is")
async def task_status(task_id: str) -> TaskStatus:
    """Say a task's state and, once it is final, its result."""
    task = await yard.handle(task_id).status()
    return TaskStatus(status=task.state, result=task.failure.message if task.failure else task.result)

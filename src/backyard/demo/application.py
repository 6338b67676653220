"""The FastAPI app of the demo: the yard mounted, as in anybody's own app, beside the quick start's two routes."""

from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from backyard import BackyardError
from backyard.demo.demo_yard import yard
from backyard.demo.quick_start import router

app = FastAPI(title="Backyard demo", description="Two small tasks and four real jobs, in the background.")
yard.mount(app)
app.include_router(router)


@app.get("/", include_in_schema=False)
async def home() -> RedirectResponse:
    """Lead to the console."""
    return RedirectResponse("/console/")


@app.exception_handler(BackyardError)
@app.exception_handler(RequestValidationError)
@app.exception_handler(HTTPException)
async def problem(_: Request, error: Exception) -> JSONResponse:
    """Answer errors of the app's own routes in the shape that the yard's routes have (RFC 9457)."""
    if isinstance(error, BackyardError):
        status, code, title, detail = error.status, error.code, error.title, error.message
    elif isinstance(error, RequestValidationError):
        first = error.errors()[0]
        status, code, title = HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", "The request is not valid"
        detail = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    else:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
        title = HTTPStatus(status).phrase
        code, detail = title.lower().replace(" ", "_"), str(getattr(error, "detail", title))
    body = {"type": f"urn:backyard:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}
    retry = {"Retry-After": "2"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse(body, status, retry, "application/problem+json")

"""The application: addresses, and what is answered at each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, TypeVar

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from src.common.errors import UserError, one_line
from src.pages.query_sheet import Result
from src.serve import answers, uploads
from src.serve.answers import Described, Duplicates, Found, Match, Photo, Photos, State, box_of
from src.serve.desk import Desk, Search, UnknownError, key_of
from src.serve.guard import Guard
from src.serve.settings import Reach, UploadSettings

LOG = logging.getLogger(__name__)
T = TypeVar("T")

_PAGE = Path(__file__).with_name("page")
#: Address → file of the page and its kind. Nothing else of the folder is served.
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/words.js": ("words.js", "text/javascript; charset=utf-8"),
    "/picture.js": ("picture.js", "text/javascript; charset=utf-8"),
    "/api/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
#: Searches at a time: one is described, one ranked, one decoded.
_SEARCHING, _SHOWING = 3, 4
_MOST_WAITING = 200
_GRACE = 3  # seconds that answers under way have when the server is stopped
_PICTURE = {200: {"content": {"image/jpeg": {}}}}
_SENT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "the photo's file, as it is",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
Top = Annotated[int, Query(ge=1, le=200, description="hits to return")]
Part = Annotated[
    str | None, Query(max_length=200, description="LEFT,TOP,RIGHT,BOTTOM of what is meant")
]
Stream = Annotated[bool, Query(description="lines of JSON, as hits come, instead of one answer")]


class Counter:
    """Where those who ask wait: threads for searches, and others for pictures.

    Args:
        desk: answers.
        settings: of uploads.
        kept: folder for what is sent, where that is to be kept.
    """

    def __init__(self, desk: Desk, settings: UploadSettings, kept: Path | None = None):
        self.desk = desk
        self.settings = settings
        self.kept = kept
        self._searching = ThreadPoolExecutor(_SEARCHING, "search")
        self._showing = ThreadPoolExecutor(_SHOWING, "show")
        self._updating = ThreadPoolExecutor(1, "update")
        self._waiting = 0
        self._job: Future[None] = Future()
        self._job.set_result(None)
        self._trouble = ""

    @contextlib.contextmanager
    def waiting(self) -> Any:
        """Wait in the queue for a block; 503 where it is too long."""
        if self._waiting >= _MOST_WAITING:
            raise HTTPException(
                503, "too many are searching; try again in a moment", {"retry-after": "5"}
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def photo(self, request: Request) -> bytes:
        """Return the photo that a request brings."""
        data = await uploads.photo_of(request, self.settings.bytes)
        if self.kept is not None:
            await self.show(uploads.keep, data, self.kept)
        return data

    async def search(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run something that takes its time."""
        return await asyncio.get_running_loop().run_in_executor(
            self._searching, function, *arguments
        )

    async def show(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run something quick."""
        return await asyncio.get_running_loop().run_in_executor(self._showing, function, *arguments)

    def update(self) -> None:
        """Bring the photos up to date, beside everything else."""
        self._begin(lambda: self.desk.photos.update(in_parts=True))

    def group(self) -> None:
        """Look for groups of photos, beside everything else."""
        self._begin(self.desk.find_groups)

    def state(self) -> State:
        """Return how far the work on the folder is."""
        return answers.state_of(
            self.desk.photos, self.settings.bytes, not self._job.done(), self._trouble
        )

    def _begin(self, work: Callable[[], Any]) -> None:
        """Do some work, unless another one is being done."""
        if self._job.done():
            self._trouble = ""
            self._job = self._updating.submit(self._work, work)

    def _work(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except UserError as error:
            self._trouble = one_line(error)
            LOG.error("%s", self._trouble)
        except Exception:
            self._trouble = "a defect; the server's log says more"
            LOG.exception("a defect; what was complete is kept")

    def close(self) -> None:
        """Let nobody wait any more."""
        for pool in (self._searching, self._showing, self._updating):
            pool.shutdown(wait=False, cancel_futures=True)


def _counter(request: Request) -> Counter:
    return request.app.state.counter


At = Annotated[Counter, Depends(_counter)]
router = APIRouter(prefix="/api")


@router.get("/state")
def state(at: At) -> State:
    """Say how far the work on the folder is."""
    return at.state()


@router.post("/update", status_code=202)
def update(at: At) -> State:
    """Look for photos that are new or have changed, and describe them."""
    at.update()
    return at.state()


@router.get("/duplicates")
def duplicates(at: At) -> Duplicates:
    """Return groups of photos of one thing: the same file, near-duplicates, the same building."""
    return answers.duplicates_of(at.desk.groups())


@router.post("/duplicates", status_code=202)
def compare(at: At) -> State:
    """Look for groups of photos of one thing; the state says when that is done."""
    at.group()
    return at.state()


@router.get("/photos")
def photos(
    at: At, first: Annotated[int, Query(ge=0)] = 0, count: Annotated[int, Query(ge=1, le=500)] = 100
) -> Photos:
    """Return the photos that can be searched, by name."""
    names = at.desk.names()
    some = [Photo(photo=key_of(name), name=name) for name in names[first : first + count]]
    return Photos(count=len(names), photos=some)


@router.get("/photos/{photo}/picture", response_class=Response, responses=_PICTURE)
async def picture(at: At, photo: str, side: Annotated[int, Query(ge=1, le=2048)] = 640) -> Response:
    """Return a smaller copy of a photo of the folder, JPEG."""
    jpeg, _ = await at.show(at.desk.picture, at.desk.name_of(photo), side)
    return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=60"})


@router.post("/search", openapi_extra=_SENT)
async def search(
    request: Request, at: At, top: Top = 10, box: Part = None, stream: Stream = False
) -> Found:
    """Find the photos of the folder that show what a photo shows. The photo is not kept."""
    part = box_of(box)
    with at.waiting():
        data = await at.photo(request)
        return await _searched(at, at.desk.search_sent, (data, top, part), stream)


@router.post("/photos/{photo}/search")
async def search_more(
    at: At, photo: str, top: Top = 10, box: Part = None, stream: Stream = False
) -> Found:
    """Find more like a photo of the folder."""
    asked = (at.desk.name_of(photo), top, box_of(box))
    with at.waiting():
        return await _searched(at, at.desk.search_known, asked, stream)


async def _searched(
    at: Counter, function: Callable[..., Search], asked: tuple[Any, ...], stream: bool
) -> Any:
    if not stream:
        return answers.found_of(await at.search(function, *asked))
    lines = _lines(at, function, asked)
    return StreamingResponse(lines, media_type="application/x-ndjson")


async def _lines(
    at: Counter, function: Callable[..., Search], asked: tuple[Any, ...]
) -> AsyncIterator[str]:
    """Yield what is found as it comes; an error is a line as well."""
    loop = asyncio.get_running_loop()
    coming: asyncio.Queue[Found | dict[str, str] | None] = asyncio.Queue()

    def early(results: tuple[Result, ...]) -> None:
        hits = answers.hits_of(results)
        found = Found(search=None, final=False, size=None, caption="", hits=hits)
        loop.call_soon_threadsafe(coming.put_nowait, found)

    async def run() -> None:
        try:
            coming.put_nowait(answers.found_of(await at.search(function, *asked, early)))
        except UserError as error:
            coming.put_nowait({"error": one_line(error)})
        except Exception:
            LOG.exception("a search failed")
            coming.put_nowait({"error": "the search failed; the server's log says why"})
        finally:
            coming.put_nowait(None)

    task = asyncio.create_task(run())
    with at.waiting():
        while (found := await coming.get()) is not None:
            yield answers.line_of(found)
    await task


@router.get("/searches/{search}/query", response_class=Response, responses=_PICTURE)
def query(at: At, search: str) -> Response:
    """Return a copy of the query of a search, JPEG."""
    return Response(at.desk.search(search).picture, media_type="image/jpeg")


@router.get("/searches/{search}/matches/{photo}")
async def match(at: At, search: str, photo: str) -> Match:
    """Return which points of the query match which points of a hit, and where it was found."""
    made, name = at.desk.search(search), at.desk.name_of(photo)
    found = await at.search(at.desk.match, made, name)
    _, size = await at.show(at.desk.picture, name, 1280)
    return answers.match_of(made, found, size)


@router.post("/describe", openapi_extra=_SENT)
async def describe(request: Request, at: At) -> Described:
    """Return the features of a photo. The photo is not kept."""
    with at.waiting():
        data = await at.photo(request)
        return answers.described_of(*await at.search(at.desk.describe, data))


@router.post("/preview", openapi_extra=_SENT, response_class=Response, responses=_PICTURE)
async def preview(request: Request, at: At) -> Response:
    """Return a JPEG of a photo that a browser cannot show; X-Photo-Size is the photo's."""
    with at.waiting():
        data = await at.photo(request)
        jpeg, (height, width) = await at.show(at.desk.preview, data)
    return Response(jpeg, media_type="image/jpeg", headers={"x-photo-size": f"{width}x{height}"})


def server_of(counter: Counter, reach: Reach, **settings: Any) -> uvicorn.Server:
    """Return the server of the application, with the guard around it.

    Args:
        counter: answers.
        reach: who may call.
        settings: more of uvicorn's.
    """
    app = Guard(create_app(counter), reach)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=_GRACE,
        **settings,
    )
    return uvicorn.Server(config)


def create_app(counter: Counter) -> FastAPI:
    """Return the application, without the guard around it."""
    app = FastAPI(
        title="DELF photo search",
        description="Find the photos of a folder that show what a photo shows.",
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.counter = counter
    app.include_router(router)
    for address, (file, kind) in FILES.items():
        app.add_api_route(address, _file(file, kind), include_in_schema=False)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(AnyHTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _defect)
    return app


def _file(name: str, kind: str) -> Callable[[], Response]:
    content = (_PAGE / name).read_bytes()
    return lambda: Response(content, media_type=kind)


def _user_error(_: Request, error: Exception) -> JSONResponse:
    status = 404 if isinstance(error, UnknownError) else 422
    return JSONResponse({"error": one_line(error)}, status)


def _http_error(_: Request, error: AnyHTTPException) -> JSONResponse:
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 422)


def _defect(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "something went wrong; the server's log says what"}, 500)

"""The dashboard: one page, and its files. Open to everybody, as it tells nothing: the API that it calls needs access.

The page takes what it shows from its own path, and is the same on each (:data:`PAGES`). Its files are those of
``copilot_socket/dashboard`` when the node starts; no other path leads to a file.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from urllib.parse import urljoin

import attrs

from copilot_socket.http.messages import Call, Problem, Reply
from copilot_socket.http.routes import Route
from copilot_socket.http.static_files import StaticFile

PAGES = (
    "/",
    "/jobs",
    "/jobs/{id}",
    "/errors",
    "/errors/{fingerprint}",
    "/crawlers",
    "/crawlers/{id}",
    "/accounts",
    "/accounts/{id}",
    "/areas",
    "/pauses",
    "/operations",
    "/operations/{id}",
    "/audit",
    "/tokens",
    "/settings",
)
PREFIX = "/dashboard/"
MARKER = b"<!-- modules -->"
"""Stands in index.html where the modules are listed that every page needs, so that browsers load them all at once."""
_IMPORT = re.compile(rb'^(?:import|export)\b[^"();]*\bfrom\s*"([^"]+)"', re.MULTILINE)
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}
_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
}
"""The files that are served, by the ends of their names."""
_API = "/api/"
_NOT_OURS = "node_modules"
"""In a checkout: what the types of the modules are checked with."""


@attrs.frozen
class Dashboard:
    """The page, and the files by their paths below :data:`PREFIX`."""

    page: StaticFile
    files: Mapping[str, StaticFile]

    async def show_page(self, call: Call) -> Reply:
        """The page, whichever it is."""
        return self.page.answer(call)

    async def show_file(self, call: Call) -> Reply:
        """A file. Raises :class:`Problem` 404."""
        path = "/".join(call.params[name] for name in ("folder", "name") if name in call.params)
        file = self.files.get(path)
        if file is None:
            raise Problem(404, "No such resource")
        return file.answer(call)

    def no_page(self, path: str, accept: str) -> Reply | None:
        """What is seen of *path*, which is no page, in a browser; None: it was asked for otherwise."""
        if path.startswith(_API) or "text/html" not in accept:
            return None
        page = self.page
        return Reply(404, page.content, page.content_type, headers={**page.headers}, gzip=page.gzip)

    def routes(self) -> tuple[Route, ...]:
        """Those of the page and of the files, which are no part of the API."""
        pages = (Route("GET", pattern, self.show_page, needs=None, file=True) for pattern in PAGES)
        patterns = (f"{PREFIX}{{name}}", f"{PREFIX}{{folder}}/{{name}}")
        return (*pages, *(Route("GET", pattern, self.show_file, needs=None, file=True) for pattern in patterns))


@cache
def dashboard() -> Dashboard:
    """The dashboard of this installation."""
    return load(files("copilot_socket") / "dashboard")


def load(place: Traversable) -> Dashboard:
    """The dashboard in the directory *place*."""
    found = dict(sorted(_files(place)))
    modules = sorted(_imported(PREFIX + "main.js", found, set()))
    links = "\n".join(f'<link rel="modulepreload" href="{module}">' for module in modules)
    html = (place / "index.html").read_bytes().replace(MARKER, links.encode())
    return Dashboard(StaticFile(html, b"text/html; charset=utf-8", _HEADERS), found)


def _imported(module: str, found: Mapping[str, StaticFile], seen: set[str]) -> set[str]:
    """*module*, and those that it imports, with what these import: into *seen*."""
    seen.add(module)
    file = found.get(module.removeprefix(PREFIX))
    for name in _IMPORT.findall(file.content) if file is not None else ():
        imported = urljoin(module, name.decode())
        if imported not in seen:
            _imported(imported, found, seen)
    return seen


def _files(place: Traversable, folder: str = "") -> Iterator[tuple[str, StaticFile]]:
    """The files of *place* by their paths, and those of its folders."""
    for each in place.iterdir():
        content_type = _TYPES.get(PurePosixPath(each.name).suffix)
        if each.is_file() and content_type is not None:
            yield folder + each.name, StaticFile(each.read_bytes(), content_type)
        elif each.is_dir() and not folder and each.name != _NOT_OURS:
            yield from _files(each, f"{each.name}/")

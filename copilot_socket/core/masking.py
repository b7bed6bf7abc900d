"""Masks secrets in crawlers' messages before they are stored, logged or shown.

Masked are GitLab's tokens, by their prefixes; ``Bearer`` and ``Basic`` credentials; the values of header fields,
parameters and members whose names say that they hold a token; passwords in URLs; and the token that the crawler was
given for its job, wherever it stands. In JSON only the contents of strings change, so that it remains valid JSON.

Each pattern begins with a literal that is searched for, and continues with classes of characters that exclude what
follows them: the work is linear in the length of any text, and small where there is no secret. A text with more than
:data:`MOST` secrets of one form is masked as a whole. A mask is never longer, in bytes, than what it replaces.
"""

import re
from collections.abc import Iterator
from itertools import islice

MASK = b"***"
MOST = 1000
SHORTEST = 8
"""Characters. No known form is shorter; a shorter job's token is not searched for, since it may be a word."""

# https://docs.gitlab.com/security/tokens/#token-prefixes
# "glagent-" may also begin a name: what follows must be as long as in a token.
_PREFIXES = "pat|oas|dt|rtr|rt|cbt|ptt|ft|imt|wt|soat|ffct"
_WORD = r"[\w.~+/=-]"
_VALUE = r"[^\s\"'\\,;&<>(){}\[\]]"
_FORMS = {
    b"gl": rf"gl(?:(?:{_PREFIXES})-(?P<secret>{_WORD}{{6,}}+)|agent-(?P<other>{_WORD}{{20,}}+))",
    b"@": r"://[^\s/\"'\\@:?#]{0,256}+:(?P<secret>[^\s/\"'\\]{3,})(?=@)",
    # With a digit, or long: "Bearer authentication" is no credential.
    b"bearer": rf"bearer\s{{1,8}}(?=[a-z._~+/=-]*+[0-9]|{_WORD}{{20}})(?P<secret>{_WORD}{{6,}}+)",
    b"basic": r"basic\s{1,8}(?=[a-z+/]*+[0-9=]|[a-z+/]{20})(?P<secret>[a-z0-9+/=]{8,}+)",
}
"""Literal that every text of this form contains → pattern of the form."""

_TOKEN = "|".join(
    [
        *(rf"(?<={name}[_-]token)|(?<={name}token)" for name in ("private", "access", "refresh")),
        *(rf"(?<={name}[_-]token)" for name in ("job", "deploy", "feed", "rss", "runner", "trigger", "gitlab")),
    ]
)
_NAMES = {
    b"token": rf"token(?:{_TOKEN})",
    b"secret": r"secret(?:(?<=client[_-]secret)|(?<=clientsecret))",
    b"_gitlab_session": "_gitlab_session",
}


def _assigned(quote: str) -> str:
    """The pattern of a value behind its name, with an optional *quote* after the name and before the value."""
    return rf"(?:{quote})?\s{{0,8}}[:=]\s{{0,8}}(?:{quote})?(?P<secret>{_VALUE}{{3,}}+)"


_IN_TEXT = _assigned(r"\\*[\"']")
# In JSON a quote inside of a string has an odd number of backslashes before it; any other ends the string.
_IN_STRING = _assigned(r"(?:\\\\)*+\\\"|(?:\\\\)*+'")
# A member of an object; the value in {"name": …, "value": …}; an element of a list, behind its name.
_MEMBER = (
    r"(?:\":\[?\"|\",\"value\":\"|\",\"(?=(?:[^\"\\]|\\.)*+\"[,\]]))"
    r"(?P<secret>(?:[^\"\\]|\\.){3,}+)"
)

_Patterns = list[tuple[bytes, "re.Pattern[bytes]"]]


def _compiled(sources: dict[bytes, str], behind: str = "") -> _Patterns:
    return [(literal, re.compile((source + behind).encode())) for literal, source in sources.items()]


_TEXT: _Patterns = [*_compiled(_FORMS), *_compiled(_NAMES, _IN_TEXT)]
_JSON: _Patterns = [
    *_compiled(_FORMS),
    *_compiled(_NAMES, _IN_STRING),
    *_compiled({**_NAMES, b"authorization": "authorization"}, _MEMBER),
]
_EXACT = re.compile(rb"(?=.*[^0-9.eE+-])[\w.~+/=-]+")
"""Tokens that JSON contains unescaped and inside of strings only: no character to escape, and not a number."""


def masked(text: str, token: str = "") -> str:
    """*text* with its secrets masked. *token* is the one that the crawler was given for the job."""
    if len(text) < SHORTEST or not _suspicious(text, token):
        return text
    result = _mask(text.encode(errors="surrogatepass"), _TEXT, token.encode(), b"")
    return (MASK if result is None else result).decode(errors="surrogatepass")


def masked_json(document: bytes, token: str = "") -> bytes:
    """The same for a compact JSON object, as orjson encodes it; where all of it must be masked, ``{}``."""
    if not _suspicious(document.decode(), token):
        return document
    exact = token.encode()
    result = _mask(document, _JSON, exact if _EXACT.fullmatch(exact) else b"", rb"\\(?:u[0-9a-f]{4}|.)|")
    return b"{}" if result is None else result


def _suspicious(text: str, token: str) -> bool:
    """Whether there may be a secret in *text*: a cheap check that settles most texts."""
    low = text.lower()
    return (
        "gl" in low
        or "token" in low
        or "@" in low
        or "bearer" in low
        or "basic" in low
        or "secret" in low
        or "authorization" in low
        or "_gitlab_session" in low
        or (len(token) >= SHORTEST and token in text)
    )


def _mask(text: bytes, patterns: _Patterns, token: bytes, skipped: bytes) -> bytes | None:
    """*text* with its secrets masked; the same object where there are none, None where there are too many.

    *skipped*: a pattern within whose matches *token* can't begin.
    """
    low = text.lower()
    searches = [(pattern, low) for literal, pattern in patterns if literal in low]
    if len(token) >= SHORTEST and token in text:
        searches.append((re.compile(skipped + b"(?P<secret>" + re.escape(token) + b")"), text))
    spans: list[tuple[int, int]] = []
    for pattern, where in searches:
        found = list(islice(_spans(pattern, where), MOST + 1))
        if len(found) > MOST:
            return None
        spans += found
    if not spans:
        return text
    parts, end = [], 0
    for first, last in _merged(sorted(spans)):
        parts += [text[end:first], MASK]
        end = last
    return b"".join([*parts, text[end:]])


def _spans(pattern: "re.Pattern[bytes]", text: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each secret."""
    for match in pattern.finditer(text):
        if match.lastgroup is not None:
            yield match.span(match.lastgroup)


def _merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """*spans*, which are sorted, with adjoining ones merged."""
    first, last = spans[0]
    for start, end in spans[1:]:
        if start <= last:
            last = max(last, end)
        else:
            yield first, last
            first, last = start, end
    yield first, last

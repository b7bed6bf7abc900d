"""Fingerprints of failures: equal for those that differ only in numbers, ids, paths and the like.

:func:`normalised` keeps the words of a message and its shape, and puts a name such as ``<path>`` in the place of what
differs between equal failures. HTTP statuses stay: a 404 and a 502 are different failures.

Each alternative of the pattern begins where nothing like it precedes, and continues with classes of characters that
exclude what follows them, or within bounds: the work is linear in the length of any text.
"""

import hashlib
import re
import string

import attrs

LONGEST = 2000
"""Characters of a message that are looked at."""
LONGEST_TEXT = 500
"""Characters of a normalised message."""
DIGITS = 16
"""Hexadecimal digits of a fingerprint."""
_OF_IDS = f"{string.ascii_letters}{string.digits}-_./:%+@~"
"""Characters of ids, paths and addresses."""


@attrs.frozen
class ErrorGroup:
    """What the failures of a group share: type, command of the job, normalised message, and their fingerprint."""

    error_type: str | None
    command: str
    text: str
    fingerprint: str


def group_of(error_type: str | None, command: str, message: str) -> ErrorGroup:
    """The group of a failure with this *message*."""
    text = normalised(message)
    return ErrorGroup(error_type, command, text, fingerprint(error_type, command, text))


def fingerprint(error_type: str | None, command: str, text: str) -> str:
    """The fingerprint of failures with this type, command of the job, and normalised message."""
    whole = "\0".join((error_type or "", command, text))
    return hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()[:DIGITS]


def normalised(message: str) -> str:
    """*message* without what differs between equal failures, in at most :data:`LONGEST_TEXT` characters."""
    if len(message) > LONGEST:
        message = message[:LONGEST].rstrip(_OF_IDS) or message[:LONGEST]  # the last word may be half an id
    return named(message)[:LONGEST_TEXT].rstrip()


def named(message: str) -> str:
    """All of *message*, with names for what differs, and single blanks for white space."""
    return _LISTS.sub(r"\1", " ".join(_VARIABLE.sub(_name, message).split()))


def _name(match: "re.Match[str]") -> str:
    found = match.group()
    match (match.lastgroup or "").rstrip("0123456789"):
        case "kept":
            return found
        case "host":
            return f"{match['before'] or ''}<host>"
        case "url" | "path" as name:  # a full stop or bracket behind it belongs to the sentence
            return f"<{name}>{found[len(found.rstrip('.,;:!?)]')) :]}"
        case name:
            return f"<{name}>"


_REASONS = (
    "bad request|unauthorized|forbidden|not found|method not allowed|conflict|gone|payload too large|request time|"
    "unprocessable|too many requests|(?:internal )?server error|client error|not implemented|bad gateway|"
    "service (?:temporarily )?unavailable|gateway time|moved permanently|found"
)
_GROUPS = r"[0-9a-f]{1,4}(?::[0-9a-f]{1,4})"
_IPV6 = (
    r"(?<![\w:.])(?=[0-9a-f:]*[0-9a-f])"
    rf"(?:{_GROUPS}{{7}}|(?:{_GROUPS}{{0,6}})?::(?:{_GROUPS}{{0,6}})?)(?!\w|:[\w:])"
)
_SAID = rf"(?: (?:of|is|was))?[ :=(\"']{{1,4}}(?!{_IPV6})[1-5]\d\d(?!\w|[.,]\d| [a-z]+s\b)"  # no "500 items"
_STATUS = (
    # Behind a word that marks it; before its reason phrase; alone.
    rf"(?:https?(?:/\d(?:\.\d)?)?|status|code|answered|returned|responded|response|received|replied|got|error|with){_SAID}"
    rf"|(?<![\w.,-])[1-5]\d\d(?=[ :(-]{{1,3}}(?:[a-z]{{1,20}} ){{0,3}}?(?:{_REASONS}))"
    rf"|\A\W{{0,8}}(?!{_IPV6})[1-5]\d\d(?=\W{{0,8}}\Z|:| (?:for|from) )"
    rf"|(?<=[(\[])[45]\d\d(?=[)\]])|(?<=: )(?!{_IPV6})[45]\d\d(?=\W{{0,8}}\Z)"
)
_CODE = r"(?:errno|sqlstate|signal|exit(?: code| status)?)[ :=(\['\"]{1,3}-?\d{1,5}(?!\w)|ORA-\d{5}(?!\w)"
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME = (
    r"(?<!\d)\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)?(?!\d)"
    rf"|{_DAY},? (?:\d{{1,2}} )?{_MONTH} (?:\d{{1,2}},? )?\d{{4}}(?: \d\d:\d\d:\d\d)?"
    r"(?: (?:GMT|UTC)(?:[+-]\d{4})?)?"
    r"|(?<![\d:])\d\d?:\d\d:\d\d(?:[.,]\d{1,9})?(?![\d:])"
)
_IPV4 = r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\d)(?::\d{1,5})?"
_LABEL = r"[a-z0-9][a-z0-9_-]{0,62}"
_DOMAINS = (
    # A word with dots is a host where it ends so; others are as likely members of objects.
    "com|org|net|edu|gov|mil|io|dev|cloud|local|lan|internal|intranet|corp|example|invalid|localdomain|localhost|eu|de|"
    "fr|uk|ch|nl|pl|cz|se|dk|fi|ru|ua|cn|jp|kr|br|au|ca|us"
)
_HOST = (
    rf"(?P<before>(?:ENOTFOUND |EAI_AGAIN |(?:host(?:name)?|DNS)[:=][ '\"]?(?:\*\.)?)(?![\d:]))"
    rf"{_LABEL}(?:\.{_LABEL}){{0,8}}"
    rf"|(?<![\w.-])(?:{_LABEL}\.){{1,8}}(?:{_DOMAINS})(?![\w/-]|\.\w)"
)
_WITHIN = r"[^\s\"'`<>|,;]"
_QUERY = rf"\?[\w.~%\[\]-]{{1,64}}={_WITHIN}*+"
_SEGMENT = r"[\w.~@+%*$-]"
_PATH = (
    r"(?<!\d)[A-Za-z]:[\\/](?:[^\\/:*?\"'<>|\r\n]{1,255}[\\/]){0,32}[^\s\\/:*?\"'<>|]{0,255}"
    r"|\\\\[\w.$-]{1,255}\\[^\s:*?\"'<>|]{1,1024}"
    # Of UNIX or of GitLab, perhaps with a place in a file behind it; no "3/10".
    rf"|(?<!{_SEGMENT})(?!\d++/\d++(?![\w/]))(?:{_SEGMENT}++(?:/{_SEGMENT}*+)++|(?:/{_SEGMENT}++)++/?)"
    rf"(?:{_QUERY})?(?::\d{{1,9}}){{0,2}}"
)
_ID = (
    # Of a job, or of its assignment.
    r"(?<!\d)[0-7][0-9a-hjkmnp-tv-z]{25}(?:\.\d{1,9}\.[0-9a-z]{4,32})?(?![a-z0-9])|"
    r"(?<!\d)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-z])"
    r"|0x[0-9a-f]{1,64}\b"
    r"|(?<!\d)(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,}+(?![a-z0-9])"
    r"|(?<!\d)(?=[a-z]*\d)(?=\d*[a-z])[a-z0-9]{16,}+"
    r"|(?<![\w-])(?=(?:[a-z_-]*\d){3})(?=[\d_-]*[a-z])[\w-]{20,}+"
)
_AT_BEGINNINGS = (
    rf"(?P<kept1>(?i:{_STATUS}|{_CODE})|(?:HTTP/\d(?:\.\d)?|I/O|N/A|TCP/IP|SSL/TLS)(?![\w/]))",
    rf"(?P<url>(?<!\d)[A-Za-z][A-Za-z0-9+.-]{{1,20}}://{_WITHIN}++)",
    r"(?P<email>(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})",
    rf"(?P<time>{_TIME})",
    rf"(?P<ip>{_IPV4}|(?i:{_IPV6}))",
    rf"(?P<host>(?i:{_HOST}))",
    rf"(?P<path>{_PATH})",
    rf"(?P<id>(?i:{_ID}))",
    r"(?P<n1>(?<!\d)\d++(?:[.,]\d++)*+)",
)
"""What may begin where no letter precedes."""
_VARIABLE = re.compile(
    rf"(?<![A-Za-z])(?:{'|'.join(_AT_BEGINNINGS)})"
    rf"|(?P<kept2>(?<=[A-Za-z])(?:Error|Status|Code){_SAID}|</[A-Za-z]{{1,20}}\d?>)"
    rf"|(?P<query>{_QUERY})"
    r"|(?P<n2>(?<=[A-Za-z])\d{6,}+)"
)
"""What differs between equal failures, by the names of groups; ``kept`` is what only looks like it."""

_LISTS = re.compile(r"(<(?:url|path|host|ip|id|email|time|n)>)(?:[ ,;|]{1,3}\1)++")
"""The same several times: as many as there happened to be."""

"""Makes ``twistd copilot-socket`` known; imports nothing of ours until it is asked for."""

from twisted.application.service import ServiceMaker

copilot_socket = ServiceMaker(
    "copilot-socket",
    "copilot_socket.tap",
    "The job server for GitLab crawlers.",
    "copilot-socket",
)

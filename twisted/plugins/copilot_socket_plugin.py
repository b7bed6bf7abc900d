"""Registers ``twistd copilot-socket``; imports the package only when that command runs."""

from twisted.application.service import ServiceMaker

copilot_socket = ServiceMaker(
    "copilot-socket",
    "copilot_socket.tap",
    "The job server for GitLab crawlers.",
    "copilot-socket",
)

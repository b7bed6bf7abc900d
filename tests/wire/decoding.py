"""What the tests of the decoder share."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import Message
from copilot_socket.wire.validators import Decoder
from tests.wire.examples import Json, with_data

LIMIT = 1 << 20
DECODER = Decoder(LIMIT)


def inspected(data: bytes, decoder: Decoder = DECODER) -> tuple[Message, int]:
    """The message in *data*, made step by step, and the number of pauses. Raises what the steps raise."""
    steps, pauses = decoder.steps(data), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, pauses
        pauses += 1


def decoded(data: bytes, value: Any = None, *, screened: bool = False) -> Message:
    """The message in *data*, as a connection decodes it."""
    return DECODER.quick(data, value, screened) or inspected(data)[0]


class DecoderCase(SynchronousTestCase):
    """Helpers."""

    def decode(self, message: Any) -> Message:
        """*message*, written and decoded."""
        return decoded(json.dumps(message).encode())

    def refused(self, data: bytes | Json, code: ErrorCode = ErrorCode.INVALID_MESSAGE) -> ProtocolError:
        """What *data* is refused with."""
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        error = self.assertRaises(ProtocolError, decoded, raw)
        assert isinstance(error, ProtocolError)
        self.assertEqual(error.code, code, error)
        return error

    def heartbeat(self, memory: str) -> bytes:
        """A heartbeat with *memory* written as it is."""
        text = json.dumps(with_data("heartbeat", memoryUsage="HERE")).replace('"HERE"', memory)
        return text.encode("utf-8", "surrogatepass")

"""What passed: requests, and bytes of their bodies."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Counts:
    """Counted so far.

    Attributes:
        requests: whose head has arrived, by method.
        body: bytes of bodies, without the framing of chunked transfer-encoding.
        uploading: bodies that are under way now.
        uploading_peak: the most there were at once.
    """

    requests: Counter[str] = field(default_factory=Counter)
    body: int = 0
    uploading: int = 0
    uploading_peak: int = 0

    @property
    def total(self) -> int:
        """All requests."""
        return self.requests.total()

    def begin_upload(self) -> None:
        """Count a body that begins."""
        self.uploading += 1
        self.uploading_peak = max(self.uploading_peak, self.uploading)

    def encode(self) -> str:
        """Give it as one line."""
        return json.dumps(
            {
                "requests": self.requests,
                "body": self.body,
                "uploading": self.uploading,
                "uploading_peak": self.uploading_peak,
            }
        )

    @classmethod
    def decode(cls, line: str) -> Counts:
        """Read such a line."""
        found: dict[str, Any] = json.loads(line)
        return cls(Counter(found["requests"]), found["body"], found["uploading"], found["uploading_peak"])

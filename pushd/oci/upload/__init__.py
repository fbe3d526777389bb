"""The upload session: how one blob gets into one repository (OCI distribution spec 1.1, "Pushing blobs").

A state machine without IO. `session` is the script: it begins with `opening`, goes on with `sending`, and comes to
`recovery` when something breaks, or to `lost` when nothing helps. All of them are `asking` the registry, and work on
one `upload`: what it is, and its `standing`. What the script asks for and is told are values (`actions`), and so are
how the registry wants it and what the disk knows of it (`limits`).
"""

from pushd.oci.upload.actions import (
    Action,
    Broken,
    Cancel,
    Cancelled,
    Done,
    Fail,
    Head,
    Landing,
    Mount,
    Open,
    OpenIfAbsent,
    Opening,
    Outcome,
    Patch,
    Put,
    Rehash,
    Request,
    Restart,
    Save,
    Send,
    Single,
    Status,
    Stream,
    Wait,
)
from pushd.oci.upload.limits import Checkpoint, Form, Limits, Ranges
from pushd.oci.upload.session import UploadSession

__all__ = [
    "Action",
    "Broken",
    "Cancel",
    "Cancelled",
    "Checkpoint",
    "Done",
    "Fail",
    "Form",
    "Head",
    "Landing",
    "Limits",
    "Mount",
    "Open",
    "OpenIfAbsent",
    "Opening",
    "Outcome",
    "Patch",
    "Put",
    "Ranges",
    "Rehash",
    "Request",
    "Restart",
    "Save",
    "Send",
    "Single",
    "Status",
    "Stream",
    "UploadSession",
    "Wait",
]

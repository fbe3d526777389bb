"""Docker's Engine API, which podman speaks as well, as far as the daemon asks an engine for images itself."""

from pushd.docker.fetching import AT_ONCE, Docker

__all__ = ["AT_ONCE", "Docker"]

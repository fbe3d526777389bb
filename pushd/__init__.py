"""pushd: an asynchronous, high-throughput push daemon for OCI registries."""

__version__ = "0.1.0"

"""Credentials as people keep them: Docker's and podman's files, and the helpers those name.

Read by the daemon for its own, and by pushctl for its caller's: on the standard library alone.
"""

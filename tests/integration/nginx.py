"""nginx in front of a registry, as people put it there: TLS, a file of users, and a limit to bodies."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

from tests.integration.parts import NGINX, tail, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.authority import Pair

_CONFIGURATION = """
daemon off;
worker_processes 1;
user root;  # where tests run as root, nobody else gets into their directories
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {address} ssl;
        ssl_certificate {pair.cert};
        ssl_certificate_key {pair.key};
        client_max_body_size {body_limit};
        auth_basic "a registry";
        auth_basic_user_file {htpasswd};
        location /v2/ {{
            proxy_pass http://{upstream};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 900;
        }}
    }}
}}
"""


class Nginx:
    """The program, over a directory outside of which it writes nothing.

    Args:
        directory: for its configuration, its log and what it buffers.
        upstream: `host:port` of the registry behind it, which lets everybody in.
        pair: certificate and key it shows.
        htpasswd: a file of users.
        body_limit: bytes of a request's body; what is longer is answered with 413.

    Attributes:
        log: what it writes.
    """

    def __init__(self, directory: Path, *, upstream: str, pair: Pair, htpasswd: Path, body_limit: int) -> None:
        self.log = directory / "nginx.log"
        self._directory = directory
        self._settings = {"upstream": upstream, "pair": pair, "htpasswd": htpasswd, "body_limit": body_limit}
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def address(self) -> str:
        """`host:port`, as in references."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it on a free port, and wait until it takes connections."""
        program = NGINX.find()
        config = self._directory / "nginx.conf"
        with socket.create_server(("127.0.0.1", 0)) as listener, self.log.open("ab") as log:
            self._port = listener.getsockname()[1]
            config.write_text(_CONFIGURATION.format(directory=self._directory, address=self.address, **self._settings))
            # It cannot be told to choose a port itself. But it takes over listeners, as it does when it is upgraded.
            descriptor = listener.fileno()
            process = self._process = subprocess.Popen(
                [program, "-e", "stderr", "-p", self._directory, "-c", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"NGINX": f"{descriptor};"},
                pass_fds=[descriptor],
            )
        wait_until(lambda: self._serves(process), f"nginx serves; {self.log} says why")

    def stop(self) -> None:
        """End it: its first process, which ends the other. Idempotent."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _serves(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it shakes hands: that connections are taken says nothing about a listener that was there before."""
        assert process.poll() is None, tail(self.log)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 5) as connection:
            context.wrap_socket(connection).close()
            return True
        return False

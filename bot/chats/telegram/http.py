"""HTTP to Telegram through aiohttp: the library's own way, through httpx, costs several times the time."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientError, ClientSession, ClientTimeout, FormData, TCPConnector
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

#: Telegram answers an upload when it has looked at all of it; to ask again sooner would show it twice.
READ_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
#: For all of a call: 50 MB may have to go up a slow line.
TOTAL_TIMEOUT_S = 600.0


class AiohttpRequest(BaseRequest):
    """Makes calls over at most so many connections; further calls wait for one."""

    def __init__(self, max_connections: int, proxy: str | None = None) -> None:
        self._max_connections = max_connections
        self._proxy = proxy
        self._session: ClientSession | None = None

    @property
    def read_timeout(self) -> float:
        """Return how long an answer may take to begin or to go on."""
        return READ_TIMEOUT_S

    async def initialize(self) -> None:
        """Allow calls again after a shutdown; the first one opens the session."""
        if self._session is not None and self._session.closed:
            self._session = None

    async def shutdown(self) -> None:
        """Close the connections; may be called again."""
        if self._session is not None:
            await self._session.close()

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """Make a call; the time-outs other than for reading are ours. NetworkError never quotes the URL."""
        if self._session is None:
            self._session = self._open_session()
        if self._session.closed:
            raise NetworkError("the bot is ending")
        read_timeout_s = READ_TIMEOUT_S if read_timeout is self.DEFAULT_NONE else read_timeout
        timeout = ClientTimeout(TOTAL_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=read_timeout_s)
        data = None if request_data is None else _build_body(request_data)
        try:
            async with self._session.request(method, url, data=data, timeout=timeout) as response:
                return response.status, await response.read()
        except TimeoutError:
            raise TimedOut from None  # what comes from below may quote the URL, which holds the token
        except ClientError as error:
            raise NetworkError(f"{type(error).__name__} in a call of Telegram") from None

    def _open_session(self) -> ClientSession:
        connector = TCPConnector(limit=self._max_connections)
        headers = {"User-Agent": self.USER_AGENT}
        return ClientSession(connector=connector, proxy=self._proxy, headers=headers)


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for an address, as `HTTPS_PROXY` and `NO_PROXY` do."""
    url_parts = urlsplit(url)
    return None if proxy_bypass(url_parts.hostname or "") else getproxies().get(url_parts.scheme)


def _build_body(request: RequestData) -> FormData | dict[str, str]:
    if not request.contains_files:
        return request.json_parameters
    form = FormData()
    for name, value in request.json_parameters.items():
        form.add_field(name, value)
    for name, (filename, content, content_type) in request.multipart_data.items():
        # As a file it goes piece by piece, and other calls between them.
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        form.add_field(name, file, filename=filename, content_type=content_type)
    return form

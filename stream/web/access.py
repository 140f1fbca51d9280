"""Who may see the page: a token that becomes a cookie, and checks against other web sites in the same browser.

Other web sites can make a browser talk to 127.0.0.1 (cross-site WebSockets), also under a name of their own (DNS
rebinding). Both show in headers that a site cannot forge: `Origin` and `Host`.

Other users of this machine can serve pages at other ports of 127.0.0.1, and browsers send the cookies of a host to all
its ports. So the page lies at a path that nobody can guess, and the cookie is for that path alone. Both are new in each
run: who takes the port when a run has ended, and is asked by a page that is still open, learns nothing of use.
"""

from __future__ import annotations

import hmac
import re
import secrets
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from engine.errors import InputError
from stream.web.address import host_of, is_ip

_SHORTEST_TOKEN = 16  # letters


def make_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def check_token(token: str | None) -> None:
    """Checks a token that a user chose.

    Raises:
        InputError: it is too short or would not fit into a URL.
    """
    if token is not None and re.fullmatch(rf"[A-Za-z0-9._~-]{{{_SHORTEST_TOKEN},}}", token) is None:
        # The token itself is a secret, so it is not repeated.
        raise InputError(
            f"token of the page must be {_SHORTEST_TOKEN} or more letters, digits and . _ ~ -; "
            "leave it out to have one made"
        )


class PageAccess:
    """Judges requests by their headers.

    Attributes:
        token: what a browser has to know; None: nothing.
        host: where the page is served.
        home: path of the page, with `/` at both ends.
    """

    def __init__(self, token: str | None, *, host: str, port: int) -> None:
        """Sets the rules.

        Args:
            token: what a browser has to know, checked by `check_token`; None lets every browser in, at the path `/`.
            host: where the page is served; this name, `localhost`, the machine's own name and plain addresses are
                taken as `Host`.
            port: the page's; browsers share cookies between the ports of a host, so it is part of the cookie's name.
        """
        self.token, self.host = token, host
        self.home = "/" if token is None else f"/{secrets.token_urlsafe(16)}/"
        self._cookie_name = f"polypstream_{port}"
        # Nothing made of the token, so that a browser's store of cookies gives it away in no way.
        self._cookie = secrets.token_urlsafe(32)
        self._names = {host.lower(), "localhost", socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}

    def knows_host(self, hosts: Sequence[str]) -> bool:
        """Whether the `Host` headers are those of this page; a name of somebody else's is DNS rebinding."""
        if len(hosts) != 1:
            return False
        host = host_of(hosts[0])
        return is_ip(host) or host in self._names

    @staticmethod
    def same_origin(origins: Sequence[str], host: str) -> bool:
        """Whether a WebSocket comes from the page itself; programs, which send no `Origin`, may come too.

        Args:
            origins: all `Origin` headers.
            host: the request's one `Host` header.
        """
        return not origins or (len(origins) == 1 and urlsplit(origins[0]).netloc.lower() == host.lower())

    def fits(self, token: str) -> bool:
        """Whether a token is the right one, in constant time."""
        return self.token is not None and hmac.compare_digest(token.encode(errors="replace"), self.token.encode())

    def admits(self, cookies: Sequence[str]) -> bool:
        """Whether the `Cookie` headers hold the cookie that the right token was changed for."""
        if self.token is None:
            return True
        found = [part.strip() for header in cookies for part in header.split(";")]
        prefix = f"{self._cookie_name}="
        return any(
            hmac.compare_digest(part.removeprefix(prefix).encode(errors="replace"), self._cookie.encode())
            for part in found
            if part.startswith(prefix)
        )

    @property
    def set_cookie(self) -> str:
        """Value of the `Set-Cookie` header that the right token is changed for."""
        return f"{self._cookie_name}={self._cookie}; Path={self.home}; HttpOnly; SameSite=Strict"

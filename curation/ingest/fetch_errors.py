"""Why a URL gave no image: one class per reason, each saying whether another run may succeed."""

from __future__ import annotations

from ..errors import SampleError, UnsafeUriError


class FetchError(SampleError):
    """A URL that gave no image. `retryable`: another run may succeed."""

    retryable = False
    http_status: int | None = None
    wait_s: float | None = None


class HttpStatusError(FetchError):
    """A status other than 200."""


class FetchTimeoutError(FetchError):
    """Connecting, a silence, or the whole attempt took too long."""

    retryable = True


class TransportError(FetchError):
    """The name did not resolve, or the connection failed or broke."""

    retryable = True


class RobotsDisallowedError(FetchError):
    """robots.txt refuses this URL."""


class RobotsUnavailableError(FetchError):
    """robots.txt could not be read, which RFC 9309 counts as a refusal for now."""

    retryable = True


class OptOutError(FetchError):
    """A response header refuses this use of the image."""


class BodyTooLargeError(FetchError):
    """More bytes than allowed."""


class WrongHashError(FetchError):
    """The bytes are not those the manifest expects."""


class NotAnImageError(FetchError):
    """The bytes are in no image format known here."""


class RedirectError(FetchError):
    """Too many redirects, or one without a target."""


class UnsafeUrlError(FetchError, UnsafeUriError):
    """The URL, or a redirect, leads to a private address or another protocol."""

"""Typed errors of image.generate. `code` and `http_status` are what the wire carries, DashScope's words where it has one."""

from __future__ import annotations

from typing import ClassVar

from ..errors import ModelError


class ApiError(ModelError):
    """Base of what can go wrong with one request.

    Attributes:
        code: the wire's `code`; the class's own unless a server said another.
        http_status: the wire's status.
        retryable: whether the same request may succeed later.
        retry_after_s: seconds a server asked to wait, or None.
        request_id: of the failed request, empty where none is known.
    """

    code: str = "InternalError"
    http_status: int = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, code: str = "", request_id: str = "", retry_after_s: float | None = None
    ):
        super().__init__(message)
        self.code = code or type(self).code
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class RequestError(ApiError):
    """A field of a request is missing, unknown or out of range; the message names it and what is allowed."""

    code, http_status = "InvalidParameter", 400


class ContentRefusedError(ApiError):
    """The service's content inspection refused the prompt or the picture."""

    code, http_status = "DataInspectionFailed", 400


class KeyRefusedError(ApiError):
    """No key or token, a wrong one, or one of another region."""

    code, http_status = "InvalidApiKey", 401


class AccessError(ApiError):
    """The key is known, but may not do this: no permission for the model, or the account is in arrears."""

    code, http_status = "AccessDenied", 403


class NotFoundError(ApiError):
    """No such path, or a picture that has expired."""

    code, http_status = "NotFound", 404


class UnknownModelError(ApiError):
    """The model asked for is not served here; the message has the one that is."""

    code, http_status = "ModelNotFound", 404


class SlowBodyError(ApiError):
    """The body did not arrive in time."""

    code, http_status = "RequestTimeOut", 408


class BodyTooLargeError(ApiError):
    """The body of a request is larger than the server reads."""

    code, http_status = "RequestTooLarge", 413


class MediaTypeError(ApiError):
    """The body is not declared as JSON."""

    code, http_status = "UnsupportedMediaType", 415


class HostError(ApiError):
    """The Host header names a host that this server is not (DNS rebinding looks like that)."""

    code, http_status = "InvalidHost", 421


class BusyError(ApiError):
    """Too many requests: a rate limit, or a full queue. `retry_after_s` says when to come back."""

    code, http_status, retryable = "Throttling", 429, True


class ServiceError(ApiError):
    """The server failed or is closing; nothing is wrong with the request."""

    code, http_status, retryable = "InternalError", 500, True


class ClosingError(ApiError):
    """The server finishes what it has and takes nothing new."""

    code, http_status, retryable = "ServiceUnavailable", 503, True


class DeadlineError(ApiError):
    """The picture was not finished by the request's deadline."""

    code, http_status, retryable = "RequestTimeOut", 504, True


class TransportError(ApiError):
    """No answer: the connection failed, broke, or stayed silent."""

    code, http_status, retryable = "Transport", 502, True


class AnswerError(ApiError):
    """An answer that is not of the protocol: another shape, not JSON, too long, a redirect."""

    code, http_status = "InvalidAnswer", 502


class DownloadError(ApiError):
    """The picture of a finished request could not be fetched; its URL stays valid for a while and is in the message."""

    code, http_status = "DownloadFailed", 502


class PictureGoneError(DownloadError):
    """The picture's place says that it is not there (any more)."""


class SpendCapError(ApiError):
    """The next request could cost more than is left under the cap."""

    code, http_status = "SpendCap", 402


#: DashScope's codes, and the first part of dotted ones ("Throttling.RateQuota").
_BY_CODE: dict[str, type[ApiError]] = {
    "InvalidParameter": RequestError,
    "InvalidURL": RequestError,
    "DataInspectionFailed": ContentRefusedError,
    "data_inspection_failed": ContentRefusedError,
    "IPInfringementSuspect": ContentRefusedError,
    "InvalidApiKey": KeyRefusedError,
    "invalid_api_key": KeyRefusedError,
    "AccessDenied": AccessError,
    "Model.AccessDenied": AccessError,
    "Arrearage": AccessError,
    "ModelNotFound": UnknownModelError,
    "model_not_found": UnknownModelError,
    "Throttling": BusyError,
    "LimitRequests": BusyError,
    "InternalError": ServiceError,
    "ServiceUnavailable": ServiceError,
    "SystemError": ServiceError,
    "RequestTimeOut": DeadlineError,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    400: RequestError,
    401: KeyRefusedError,
    403: AccessError,
    404: UnknownModelError,
    408: DeadlineError,
    413: BodyTooLargeError,
    415: MediaTypeError,
    421: HostError,
    429: BusyError,
    504: DeadlineError,
}


def error_of(
    status: int, code: str, message: str, *, request_id: str = "", retry_after_s: float | None = None
) -> ApiError:
    """The error that a server's answer stands for: by its code, else by its HTTP status.

    A status of 429 or 5xx is never read as the caller's mistake, whatever the code says.
    """
    found = _BY_CODE.get(code) or _BY_CODE.get(code.partition(".")[0])
    if found is None or (status == 429 or status >= 500) != found.retryable:
        found = _BY_STATUS.get(status) or (
            ServiceError if status >= 500 else RequestError if 400 <= status < 500 else AnswerError
        )
    where = f"{code or 'no code'}, HTTP {status}" + (f", request {request_id}" if request_id else "")
    return found(f"{message} ({where})", code=code, request_id=request_id, retry_after_s=retry_after_s)

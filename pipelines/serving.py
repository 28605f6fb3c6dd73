"""`zcurate serve` and `zcurate image-generate`: what they do, apart from reading arguments and printing."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zcurate.curation.errors import ConfigError, MissingDependencyError, ZcurateError
from zcurate.model.api.errors import (
    AccessError,
    KeyRefusedError,
    RequestError,
    SpendCapError,
    UnknownModelError,
)
from zcurate.model.errors import GenerationError, MemoryShortError, ModelConfigError, ModelError, WeightsError

from .generating import load_generator

if TYPE_CHECKING:
    from zcurate.model.api.dashscope import Generated
    from zcurate.model.api.engine import Enhancer, ImageEngine
    from zcurate.model.api.request import ImageRequest
    from zcurate.model.generate import Runtime

MAX_REQUEST_BYTES = 1 << 20
#: What only the server needs: the extra `serve`, and what its packages bring.
_SERVE_EXTRA = ("fastapi", "uvicorn", "prometheus_client", "starlette", "h11")
_USERS = (
    RequestError,
    KeyRefusedError,
    AccessError,
    UnknownModelError,
    SpendCapError,
    ModelConfigError,
    WeightsError,
    GenerationError,
)


@contextmanager
def command_errors():
    """The model's errors as those that the command line prints without a traceback."""
    try:
        yield
    except MemoryShortError as e:
        raise ZcurateError(str(e)) from e
    except _USERS as e:
        raise ConfigError(str(e)) from e
    except ModelError as e:
        raise ZcurateError(str(e)) from e
    except ModuleNotFoundError as e:
        if (e.name or "").partition(".")[0] in _SERVE_EXTRA:
            raise MissingDependencyError(f"serving needs {e.name}: pip install 'zcurate[serve]'") from e
        raise


@dataclass(frozen=True)
class ServeOptions:
    """What `zcurate serve` was asked for.

    model: `s3dit:DIR` or `s3dit:tiny`. served_name: the model's name in requests; None: its own. enhancer: model string of
    who rewrites prompts. runtime: fields of `Runtime`. settings: fields of `Settings`.
    """

    model: str
    served_name: str | None = None
    enhancer: str | None = None
    runtime: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] | None = None


def serve(options: ServeOptions, on_start: Callable[[str, str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `on_start` is told the URL and the model's name.

    Raises:
        ConfigError: a model string, limit or token that cannot be used.
    """
    with command_errors():
        from zcurate.model.api.credentials import TOKEN_VARIABLE
        from zcurate.model.api.running import run
        from zcurate.model.api.settings import Settings
        from zcurate.model.generate import Runtime

        token = os.environ.get(TOKEN_VARIABLE, "").strip() or None
        settings = Settings(token=token, **(options.settings or {}))
        enhancer = enhancer_of(options.enhancer) if options.enhancer else None
        engine = engine_of(options.model, options.served_name, Runtime(**(options.runtime or {})))
        run(engine, settings, enhancer, lambda url: on_start(url, engine.name))


def engine_of(model: str, served_name: str | None = None, runtime: Runtime | None = None) -> ImageEngine:
    """The engine of `s3dit:DIR` or `s3dit:tiny`. Raises ConfigError and the model's errors."""
    from zcurate.model.api.local import LocalEngine
    from zcurate.model.generate import Runtime

    return LocalEngine(load_generator(model, runtime or Runtime()), served_name)


def enhancer_of(vlm: str) -> Enhancer:
    """Rewrites prompts by `zcurate enhance`. A model of this process is asked by one thread at a time."""
    from zcurate.captioner.enhancer import Options, enhance
    from zcurate.model.api.engine import Rewritten

    from .prompting import chat_of

    chat, lock = chat_of(vlm), threading.Lock()
    remote = vlm.startswith("openai:")

    def rewrite(prompt: str) -> Rewritten:
        if remote:
            # Its connections belong to the event loop of one call.
            done = enhance(prompt, [], True, chat=chat_of(vlm), options=Options(tries=2, deadline_s=60.0))
        else:
            with lock:
                done = enhance(prompt, [], True, chat=chat, options=Options(tries=2, deadline_s=60.0))
        steps = [f"{k}: {'; '.join(v) if isinstance(v, list) else v}" for k, v in done.reasoning.items()]
        return Rewritten(done.prompt, "\n".join(steps))

    return rewrite


def read_request(text: str) -> ImageRequest:
    """The request of `--request`: JSON, `@FILE`, or `-` for standard input. Raises ConfigError."""
    from zcurate.model.api.request import ImageRequest

    if text == "-" or text.startswith("@"):
        source = "/dev/stdin" if text == "-" else os.path.expanduser(text[1:])
        try:
            with open(source, "rb") as file:
                data = file.read(MAX_REQUEST_BYTES + 1)
        except OSError as e:
            raise ConfigError(f"--request {text}: {e.strerror}") from e
        if len(data) > MAX_REQUEST_BYTES:
            raise ConfigError(f"--request {text}: larger than {MAX_REQUEST_BYTES >> 20} MiB")
    else:
        data = text.encode("utf-8", "surrogatepass")
    with command_errors():
        return ImageRequest.from_json(data)


def generate_image(
    request: ImageRequest,
    region: str,
    model: str | None,
    output: Path | None,
    max_spend_usd: float,
    say: Callable[[str], None],
    environment: Mapping[str, str] = os.environ,
) -> tuple[Generated, Path]:
    """Ask for one picture and keep it with its sidecar. `say` is told what it costs before anything is sent.

    Raises:
        ConfigError: the request, the key or the account. ZcurateError: the service or the download failed.
    """
    with command_errors():
        from zcurate.model.api.credentials import endpoint_of, find_key
        from zcurate.model.api.dashscope import DASHSCOPE_PROMPT_CHARS, MODEL, ImageClient, price_text
        from zcurate.model.api.outputs import check_output, output_path, write

        endpoint = endpoint_of(request.base_url, region)
        key = find_key(endpoint, environment)
        check_output(output, environment)
        say(f"{endpoint.host}: {price_text(endpoint.region, request.prompt_extend)}")
        if endpoint.region != "custom" and len(request.prompt) > DASHSCOPE_PROMPT_CHARS:
            say(
                f"the prompt has {len(request.prompt)} characters; DashScope may cut it at {DASHSCOPE_PROMPT_CHARS}"
            )
        with ImageClient(endpoint, key, model or MODEL, max_spend_usd=max_spend_usd) as client:
            done = client.generate(request)
        path = output_path(done, output, environment)
        try:
            write(done, path)
        except OSError as e:
            url = done.result.image_url
            raise ZcurateError(f"{path}: {e.strerror or e}; the picture stays at {url} for a while") from e
        return done, path


def response_json(done: Generated, path: Path) -> str:
    """What `--print-response` prints: the normalized response, and where the picture is."""
    return json.dumps(json.loads(done.result.to_json()) | {"file": str(path)}, ensure_ascii=False)

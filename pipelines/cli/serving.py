"""Commands of image.generate: serve, image-generate."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from .generating import _Device, _Dtype, _Offload, _Quantize, _Tile


def register(app: typer.Typer) -> None:
    app.command(name="serve", rich_help_panel="Model")(serve)
    app.command(name="image-generate", rich_help_panel="Model")(image_generate)


def serve(
    model: Annotated[
        str, typer.Option(help="`s3dit:DIR`; `s3dit:tiny`: untrained, for trying.")
    ] = "s3dit:tiny",
    host: Annotated[
        str, typer.Option(help="Address to bind. Others than this machine's demand ZCURATE_SERVE_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    served_name: Annotated[
        str | None,
        typer.Option(help="What requests call the model, e.g. `z-image-turbo`; default: its own name."),
    ] = None,
    enhancer: Annotated[
        str | None,
        typer.Option(help="Rewrites prompts for prompt_extend: `openai:URL#MODEL`; default: refused."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Name that the Host header may have. Repeatable.")
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="What picture URLs begin with, behind a proxy.")
    ] = None,
    max_queue: Annotated[
        int, typer.Option(min=1, help="Requests at once; more are told to come back (429).")
    ] = 256,
    max_batch: Annotated[int, typer.Option(min=1, help="Pictures made together.")] = 4,
    max_prompt: Annotated[int, typer.Option(min=1, max=4000, help="Characters of a prompt.")] = 2000,
    deadline: Annotated[
        float, typer.Option(min=1, help="Seconds until a request is given up (504).")
    ] = 120.0,
    store_mb: Annotated[int, typer.Option(min=1, help="Finished pictures kept for fetching.")] = 1024,
    store_ttl: Annotated[float, typer.Option(min=1, help="Seconds a picture can be fetched.")] = 3600.0,
    device: _Device = "auto",
    dtype: _Dtype = "auto",
    quantize: _Quantize = None,
    offload: _Offload = None,
    vae_tile: _Tile = None,
) -> None:
    """Serve a model over HTTP in DashScope's form: the same client works with `base_url` pointing here.

    POST /api/v1/services/aigc/multimodal-generation/generation; GET /health, /ready, /metrics. With ZCURATE_SERVE_TOKEN
    set, requests need it as bearer token. SIGTERM finishes what is under way.

    Example: `zcurate serve --port 8000`
    """
    from ..serving import ServeOptions
    from ..serving import serve as run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = {
        "host": host,
        "port": port,
        "allowed_hosts": tuple(allowed_host or ()),
        "public_url": public_url,
        "max_prompt_chars": max_prompt,
        "max_admitted": max_queue,
        "max_batch": max_batch,
        "deadline_s": deadline,
        "store_bytes": store_mb << 20,
        "store_ttl_s": store_ttl,
    }
    runtime = {
        "device": device,
        "dtype": dtype,
        "quantize": quantize,
        "offload": offload,
        "vae_tile_px": vae_tile,
    }
    run(
        ServeOptions(model, served_name, enhancer, runtime, settings),
        lambda url, name: print(f"serving {name} on {url}", flush=True),
    )


def image_generate(
    request: Annotated[
        str,
        typer.Option(
            help='JSON {"prompt", "size"?, "seed"?, "prompt_extend"?, "base_url"?}; `@FILE`; `-`: standard input.'
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="File (.png, .jpg, .webp); default: OUTPUT_DIR (or `output`)/ai-image-zimage-turbo/images/REQUEST_ID.png."
        ),
    ] = None,
    print_response: Annotated[
        bool, typer.Option("--print-response", help="Print the response as JSON.")
    ] = False,
    region: Annotated[
        str, typer.Option(envvar="DASHSCOPE_REGION", help="`beijing` or `singapore`; each has its own keys.")
    ] = "beijing",
    model: Annotated[str | None, typer.Option(help="Name on the wire; default: `z-image-turbo`.")] = None,
    max_spend: Annotated[
        float, typer.Option(min=0, help="USD of list price at most, retries included.")
    ] = 0.5,
) -> None:
    """Have DashScope's z-image-turbo, or any server of its form, make one picture; keep it with a sidecar.

    The key is DASHSCOPE_API_KEY, else `dashscope_api_key` in ~/.alibabacloud/credentials. For a `base_url` of your own:
    ZCURATE_SERVE_TOKEN. What a call costs is said before it is made.

    Example: `zcurate image-generate --request '{"prompt": "a fishing scene at dawn", "size": "1024*1024"}' --output fishing.png`
    """
    from ..serving import generate_image, read_request, response_json

    asked = read_request(request)
    done, path = generate_image(
        asked, region, model, output, max_spend, lambda text: print(text, file=sys.stderr)
    )
    print(response_json(done, path) if print_response else path)

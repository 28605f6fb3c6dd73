"""`zcurate serve` and `zcurate image-generate` as a person runs them, and generators by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from zcurate.curation.errors import ConfigError
from zcurate.pipelines import registry
from zcurate.pipelines.serving import engine_of, generate_image, read_request

ZCURATE = Path(sys.executable).with_name("zcurate")
TOKEN = "a-token-of-some-length"
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("DASHSCOPE", "ZCURATE"))}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    environment = ENVIRONMENT | {"ZCURATE_SERVE_TOKEN": TOKEN, "HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [ZCURATE, "serve", "--port", "0", "--served-name", "z-image-turbo"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=home
    ) as process:
        line = process.stdout.readline()
        assert line.startswith("serving z-image-turbo on http://127.0.0.1:"), process.stderr.read()
        yield line.split()[-1], environment
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert TOKEN not in log
    assert "a lighthouse" not in log, "prompts are nobody's business"


def image_generate(request, environment, cwd, *options):
    command = [ZCURATE, "image-generate", "--request", request, *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=120)


def test_a_picture_from_one_command_to_the_other(served, tmp_path):
    url, environment = served
    request = {"prompt": "a lighthouse, 灯塔", "size": "768*512", "seed": 7, "base_url": url}
    done = image_generate(
        json.dumps(request), environment, tmp_path, "--output", "out/lighthouse.png", "--print-response"
    )
    assert done.returncode == 0, done.stderr
    response = json.loads(done.stdout)
    assert response.keys() == {"image_url", "width", "height", "prompt", "request_id", "file"}
    assert response["image_url"].startswith(f"{url}/images/")
    assert (response["width"], response["height"], response["prompt"]) == (768, 512, request["prompt"])
    # The price, or that it is not known, is said before anything is sent.
    assert "price" in done.stderr.splitlines()[0]
    with Image.open(tmp_path / "out" / "lighthouse.png") as image:
        assert image.size == (768, 512)
    sidecar = json.loads((tmp_path / "out" / "lighthouse.json").read_text("utf-8"))
    assert (sidecar["request_id"], sidecar["parameters"]["seed"]) == (response["request_id"], 7)
    assert TOKEN not in json.dumps(sidecar) + done.stdout + done.stderr

    # A request of a file, and the default place.
    (tmp_path / "request.json").write_text(json.dumps(request | {"size": "512*512"}), "utf-8")
    done = image_generate("@request.json", environment | {"OUTPUT_DIR": "results"}, tmp_path)
    path = tmp_path / done.stdout.strip()
    assert path.parent == tmp_path / "results" / "ai-image-zimage-turbo" / "images"
    assert path.is_file()


def test_without_the_token_there_is_one_line_that_says_why(served, tmp_path):
    url, environment = served
    without = {k: v for k, v in environment.items() if k != "ZCURATE_SERVE_TOKEN"}
    done = image_generate(json.dumps({"prompt": "x", "size": "512*512", "base_url": url}), without, tmp_path)
    assert done.returncode == 2
    assert "token" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "output"]


def refused(tmp_path, request, environment=None, output=None, region="beijing", max_spend=0.5):
    said = []
    with pytest.raises(ConfigError) as caught:
        generate_image(
            read_request(request),
            region,
            None,
            output,
            max_spend,
            said.append,
            {"HOME": str(tmp_path), **(environment or {})},
        )
    return str(caught.value), said


def test_mistakes_are_found_before_anything_is_sent(tmp_path):
    key = {"DASHSCOPE_API_KEY": "sk-key", "OUTPUT_DIR": str(tmp_path)}
    request = '{"prompt": "x"}'
    assert "DASHSCOPE_API_KEY" in refused(tmp_path, request)[0]
    assert "paris" in refused(tmp_path, request, key, region="paris")[0]
    assert "picture's file" in refused(tmp_path, request, key, tmp_path / "x.txt")[0]
    # A spend cap of nothing: the price was said, and the request was not sent.
    message, said = refused(tmp_path, '{"prompt": "x", "prompt_extend": true}', key, max_spend=0)
    assert "cap" in message
    assert "0.02868 USD" in said[0]
    assert "0.01434 USD without it" in said[0]
    # A base_url that names DashScope costs what DashScope costs.
    endpoint = '{"prompt": "x", "base_url": "https://dashscope-intl.aliyuncs.com"}'
    message, said = refused(tmp_path, endpoint, key, max_spend=0)
    assert "cap" in message
    assert "0.015 USD" in said[0]


@pytest.mark.parametrize(
    "request_text", ["", "{", "[]", '{"prompt": ""}', "@missing.json", '{"prompt": "x", "n": 2}']
)
def test_requests_that_are_none(request_text):
    with pytest.raises(ConfigError):
        read_request(request_text)


def test_a_server_that_others_could_reach_needs_a_token(tmp_path):
    done = subprocess.run(
        [ZCURATE, "serve", "--host", "0.0.0.0", "--port", "0"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {"HOME": str(tmp_path)},
        timeout=120,
    )
    assert done.returncode == 2
    assert "ZCURATE_SERVE_TOKEN" in done.stderr


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_a_missing_package_is_named_with_its_extra(package):
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['zcurate', 'serve', '--port', '0'];"
        "from zcurate.pipelines.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd="/")
    assert done.returncode in (1, 2)
    assert "pip install 'zcurate[serve]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("model", ["tiny", "s3dit:", "s3dit:/nowhere", "openai:x"])
def test_models_that_cannot_be_served(model):
    with pytest.raises(ConfigError):
        engine_of(model)


def test_generators_by_name(tmp_path, monkeypatch):
    from zcurate.model.request import Request, Settings

    drawn = registry.resolve("generator", "s3dit:tiny")
    request = Request("a red kite", (32, 32), seed=1, settings=Settings(steps=1))
    (picture,) = drawn.generate([request])
    path = picture.save(tmp_path / "pictures")

    found = registry.resolve("generator", f"folder:{path.parent}")
    (again,) = found.generate([request], batch=4)
    assert again.image.tobytes() == picture.image.tobytes()
    assert again.request is request

    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-key")
    bought = registry.resolve("generator", "dashscope:z-image-turbo")
    assert bought.identity.startswith("dashscope:z-image-turbo")
    assert registry.identity("dashscope:z-image-turbo").endswith("(unverified)")
    bought.close()


def test_generators_that_cannot_be(tmp_path, monkeypatch):
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for model, message in (
        ("dashscope:z-image-turbo", "DASHSCOPE_API_KEY"),
        ("dashscope:z-image-max", "z-image-turbo"),
        (f"s3dit:{tmp_path}", "model_index"),
        (f"folder:{tmp_path}", "NAME.json"),
        (f"folder:{tmp_path}/missing", "no such folder"),
        ("folder:", "names no model"),
    ):
        with pytest.raises(ConfigError, match=message):
            registry.resolve("generator", model)

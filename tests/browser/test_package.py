"""The npm package span-upscaler: packed, installed, built by Vite, loaded from another site, in TypeScript, in Node."""

import functools
import json
import os
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from helpers.browser import PAGE, Site, make_scene, until
from helpers.environment import REPOSITORY, free_ports
from helpers.other_browsers import is_listening, running, wait_until

VITE = ["node", str(PAGE / "node_modules" / "vite" / "bin" / "vite.js")]
TSC = ["node", str(PAGE / "node_modules" / "typescript" / "bin" / "tsc")]
MAIN = """
import { loadUpscaler } from 'span-upscaler';
import fetchNetwork from 'span-upscaler/models/x2';
const upscaler = await loadUpscaler(await fetchNetwork());
const { width } = await upscaler.upscale(new ImageData(9, 9));
document.title = `${width} ${upscaler.status.backend}`;
"""


def run(command, folder, **environment) -> str:
    options = {"env": {**os.environ, **environment}, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run(command, cwd=folder, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(models, tmp_path_factory) -> Path:
    """A project of Vite that the package is installed in, with the network x2 inside."""
    folder = tmp_path_factory.mktemp("package")
    export, project = folder / "export", folder / "project"
    shutil.copytree(models / "x2", export / "x2")
    (export / "models.json").write_text(json.dumps({"models": [{"name": "x2", "url": "x2/model.json"}]}))
    packed = run(["node", str(PAGE / "npm" / "pack.mjs"), str(folder), "--models", str(export)], folder).strip()
    project.mkdir()
    (project / "package.json").write_text('{ "private": true, "type": "module" }')
    run(["npm", "install", "--offline", "--no-audit", "--no-fund", "--silent", packed], project)
    (project / "main.js").write_text(MAIN)
    (project / "index.html").write_text(
        '<link rel="icon" href="data:," /><script type="module" src="./main.js"></script>'
    )
    (project / "vite.config.js").write_text("export default { optimizeDeps: { exclude: ['span-upscaler'] } };")
    return project


def check(page, address):
    page.goto(address)
    until(page, lambda: page.title() == "18 wasm")


def test_what_vite_builds_enlarges(page, project):
    run([*VITE, "build"], project)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(project / "dist"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    check(page, f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()
    server.server_close()


def test_vites_server_for_development_enlarges(page, project):
    (port,) = free_ports(1)
    with running([*VITE, "--host", "127.0.0.1", "--port", str(port), "--strictPort"], cwd=project):
        wait_until(lambda: is_listening(port), "Vite")
        check(page, f"http://127.0.0.1:{port}/")


def test_a_page_takes_it_from_a_delivery_network(page, site, project):
    """Another site than the page's, where no worker may start."""
    page.goto(f"{site.url}/icon.svg")
    network = Site({"npm": project / "node_modules"})
    network.headers = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
    width = page.evaluate(
        """async (url) => {
          const { loadUpscaler } = await import(`${url}/span.js`);
          const { default: fetchNetwork } = await import(`${url}/models/x2.js`);
          const upscaler = await loadUpscaler(await fetchNetwork(), { backend: 'wasm' });
          const { width } = await upscaler.upscale(new ImageData(9, 9), { output: 'pixels' });
          upscaler.dispose();
          return width;
        }""",
        f"{network.url}/npm/span-upscaler",
    )
    network.close()
    assert width == 18
    page.problems[:] = [problem for problem in page.problems if "404" not in problem]  # a picture has no icon


def test_typescript_takes_its_types(project):
    every_call = (REPOSITORY / "tests" / "web" / "span.types.mts").read_text()
    (project / "every-call.mts").write_text(every_call.replace("'../../web_demo/span.js'", "'span-upscaler'"))
    (project / "own.mts").write_text(
        """
        import { loadUpscaler } from 'span-upscaler';
        import fetchNetwork from 'span-upscaler/models/x2';
        import { loadUpscaler as loadInNode } from 'span-upscaler/node';

        export const inPage: Promise<Blob> = loadUpscaler(await fetchNetwork())
          .then((upscaler) => upscaler.upscale('image.png'))
          .then(({ blob }) => blob);
        const upscaler = await loadInNode('model.json', { gpu: navigator.gpu });
        export const { data }: { data: Uint8ClampedArray } = await upscaler.upscale(new ImageData(4, 4));
        // @ts-expect-error a path is needed
        await loadInNode();
        """
    )
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom,dom.iterable"]
    run([*TSC, *options, "every-call.mts", "own.mts"], project)


NODE = """
import { pathToFileURL } from 'node:url';
import { readFileSync } from 'node:fs';
const { create, globals } = await import(pathToFileURL(process.env.WEBGPU_MODULE + '/index.js'));
Object.assign(globalThis, globals);
const { loadUpscaler } = await import('span-upscaler/node');
const gpu = create([]);
const model = import.meta.resolve('span-upscaler/models/x2/model.json');
const upscaler = await loadUpscaler(model, { gpu, tile: 28 });
const image = { data: readFileSync('pixels'), width: 46, height: 30 };
const { data, width, height } = await upscaler.upscale(image);
upscaler.dispose();
process.stdout.write(JSON.stringify([width, height, [...data]]), () => process.exit());
"""
SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")


@pytest.mark.skipif("WEBGPU_MODULE" not in os.environ, reason="WEBGPU_MODULE names no folder of the npm package webgpu")
def test_node_enlarges_by_webgpu(project, python_upscale):
    pixels = make_scene(30, 46)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    (project / "pixels").write_bytes(rgba.tobytes())
    (project / "node.js").write_text(NODE)
    driver = {} if "VK_DRIVER_FILES" in os.environ else {"VK_DRIVER_FILES": str(SWIFTSHADER)}
    width, height, data = json.loads(run(["node", "node.js"], project, **driver))
    assert (width, height) == (92, 60)
    result = np.uint8(data).reshape(60, 92, 4)
    assert np.abs(result[..., :3].astype(int) - python_upscale("x2", pixels)).max() <= 1

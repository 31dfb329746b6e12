"""The example jobs for Slurm and Kubernetes: what can be checked without either."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from sparse_ir.cli.encode import encode

JOBS = Path(__file__).parents[1] / "docker" / "jobs"


def require_options(words):
    with click.Context(encode, info_name="encode") as context:
        encode.make_parser(context).parse_args(words)


def test_every_pod_gets_its_number_and_meets_at_the_first():
    service, job = yaml.safe_load_all((JOBS / "kubernetes-encode.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert job["spec"]["completionMode"] == "Indexed"
    assert int(environment["WORLD_SIZE"]) == job["spec"]["completions"]
    assert job["spec"]["parallelism"] == job["spec"]["completions"]  # they wait for one another
    assert (
        environment["MASTER_ADDR"] == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    )
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    command, *rest = container["args"]
    assert command == "encode"
    require_options(rest)


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_the_slurm_script_is_bash_and_calls_encode_as_it_is():
    path = JOBS / "slurm-encode.sh"
    subprocess.run(["bash", "-n", str(path)], check=True)
    text = path.read_text().replace("\\\n", " ")
    words = re.search(r"-m sparse_ir encode (.*)", text)[1].replace('"', "").split()
    require_options(words)

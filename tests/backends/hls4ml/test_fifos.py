"""FIFOs as deep as a schedule of the C++ fills: shown to suffice by running all layers at once."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeflow.backends.base import Request
from edgeflow.backends.hls4ml import fifos
from edgeflow.backends.hls4ml.backend import BACKEND
from edgeflow.frontends.reference import reference_job

spec = importlib.util.spec_from_file_location(
    "hls4ml_networks", Path(__file__).with_name("networks.py")
)
networks = importlib.util.module_from_spec(spec)
sys.modules["hls4ml_networks"] = networks
spec.loader.exec_module(networks)

BOUNDED = """\
#ifndef X_HLS_STREAM_SIM_H
#define X_HLS_STREAM_SIM_H
// A FIFO of a bounded depth between two threads; a stream without one holds everything.
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
namespace hls {
static std::map<std::string, size_t> depths;
template <typename T> class stream {
    std::deque<T> data;
    size_t depth = size_t(-1);
    std::mutex mutex;
    std::condition_variable changed;
  public:
    stream() {}
    stream(const std::string &name) { if (depths.count(name)) depth = depths[name]; }
    bool empty() { return data.empty(); }
    size_t size() { return data.size(); }
    void operator<<(const T &value) { write(value); }
    T read() {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return !data.empty(); });
        T value = data.front();
        data.pop_front();
        changed.notify_all();
        return value;
    }
    void read(T &value) { value = read(); }
    void write(const T &value) {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return data.size() < depth; });
        data.push_back(value);
        changed.notify_all();
    }
};
} // namespace hls
#endif
"""

MAIN = """\
#include <thread>
#include <unistd.h>
#include <vector>
#include "firmware/net.cpp"
int main(int argc, char **argv) {
    alarm(20); // a design that stops for ever
    std::ifstream given("depths"), x("tb_data/tb_input_features.dat");
    std::string name;
    for (size_t depth; given >> name >> depth;) hls::depths[name] = depth;
    for (int row = 0; row < 3; row++) {
        hls::stream<input_t> in;
        hls::stream<result_t> out;
        for (int i = 0; i < %d; i++) {
            input_t word;
            for (unsigned c = 0; c < input_t::size; c++) { double v; x >> v; word[c] = v; }
            in.write(word);
        }
        net(in, out);
        result_t y = out.read();
        for (unsigned c = 0; c < result_t::size; c++) std::cout << double(y[c]) << " ";
        std::cout << std::endl;
    }
}
"""


@pytest.fixture(scope="module")
def compiled(runner, tmp_path_factory):
    """A residual network whose convolutions share multipliers, its depths found."""
    folder = tmp_path_factory.mktemp("fifos")
    model = networks.cnn().save(folder / "model")
    x = np.random.default_rng(0).normal(size=(8, 8, 8, 2)).astype(np.float32)
    np.savez(folder / "x.npz", x=np.round(x * 32) / 32)
    golden = runner.run(reference_job(model, folder / "x.npz", 8)).path
    given = {"io": "stream", "fifo_depth": "optimize", "layers": {"relu2": {"fifo_depth": 5}}}
    given |= {"strategy": "resource", "reuse_factor": 4}
    options = BACKEND.options(given, "here")
    assert BACKEND.check(model.network, networks.PYNQ, options) == []
    request = Request(model, networks.PYNQ, options, golden, None, "net")
    return request, runner.run(BACKEND.compile(request))


def concurrent(project: Path) -> Path:
    """A program of the project in which every layer is a thread."""
    source = project / "firmware" / "net.cpp"
    text = re.sub(r"\n    (nnet::[^\n]*;) //", r"\n    all.emplace_back([&] { \1 }); //",
                  source.read_text())  # fmt: skip
    head, _, tail = text.rpartition("}")
    head = head.replace(
        "    // hls-fpga-machine-learning insert layers",
        "    std::vector<std::thread> all;\n    // hls-fpga-machine-learning insert layers",
    )
    source.write_text(f"{head}for (auto &one : all) one.join();\n}}{tail}")
    (project / "firmware" / "ap_types" / "hls_stream.h").write_text(BOUNDED)
    (project / "all.cpp").write_text(MAIN % 64)
    command = ["g++", "-std=c++17", "-O1", "-w", "-pthread", "-Ifirmware/ap_types",
               '-DWEIGHTS_DIR="firmware/weights"', "all.cpp", "-o", "all"]  # fmt: skip
    subprocess.run(command, cwd=project, check=True)
    return project / "all"


def test_depths_found_are_enough_and_fewer_are_not(compiled, tmp_path):
    compiled = compiled[1]
    project = tmp_path / "project"
    shutil.copytree(BACKEND.artifacts(compiled.path)["hls_project"], project)
    found = json.loads((project / "fifo_depths.json").read_text())
    assert found == compiled.result["fifo_depths"]
    assert all(item["depth"] >= 2 for item in found.values())
    depths = {name: item["depth"] for name, item in found.items()}
    assert sum(depths.values()) < sum(item["words"] for item in found.values()) / 5
    text = (project / "firmware" / "net.cpp").read_text()
    written = dict(re.findall(r"STREAM variable=(\w+) depth=(\d+)", text))
    forced = next(name for name, item in found.items() if item["layer"] == "relu2")
    wanted = {name: str(depth) for name, depth in depths.items()} | {forced: "5"}
    assert written == wanted

    def run(given):
        lines = (f"{name} {depth}" for name, depth in given.items())
        (project / "depths").write_text("\n".join(lines))
        return subprocess.run([str(program)], cwd=project, capture_output=True, text=True,
                              check=False)  # fmt: skip

    program = concurrent(project)
    done = run(depths)
    assert done.returncode == 0, done.stderr
    wanted = np.loadtxt(project / "tb_data" / "tb_output_predictions.dat")[:3]
    values = np.array([row.split() for row in done.stdout.splitlines()], float)
    np.testing.assert_allclose(values, wanted, atol=1e-5)
    # Without room for the rows that the convolution waits for, the sum never gets its words.
    skip = max((n for n in found if found[n]["layer"].startswith("clone")), key=depths.get)
    done = run({**depths, skip: 4})
    assert done.returncode != 0


def test_what_the_co_simulation_saw_is_put_into_the_project(compiled, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(BACKEND.artifacts(compiled[1].path)["hls_project"], project)
    assert "fifo_opt   1" in (project / "build_opt.tcl").read_text()
    assert "not from a synthesis" in (project / "README.md").read_text()
    command = [sys.executable, "fifo_depths.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "cosim 1" in done.stderr
    # the files that hls4ml 1.3.0's own optimisation reads
    folder = tmp_path / "kept" / "net_prj" / "solution1" / ".autopilot" / "db"
    (folder / "channel_depth_info").mkdir(parents=True)
    (folder / "channel_info.csv").write_text(
        "1,layer2_out_U,x,chan_status1.csv\n2,layer3_out_U,x,chan_status2.csv\n"
    )
    with zipfile.ZipFile(folder / "channel_depth_info" / "channel.zip", "w") as archive:
        archive.writestr("chan_status1.csv", "a\nb\n0\n37\n")
        archive.writestr("chan_status2.csv", "a\nb\n0\n2\n")
    command += [str(tmp_path / "kept"), "--apply"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert re.search(r"layer2_out +\d+ +37  full", done.stdout)
    text = (project / "firmware" / "net.cpp").read_text()
    assert "STREAM variable=layer2_out depth=38" in text
    assert "STREAM variable=layer3_out depth=3\n" in text


def test_the_vendors_tool_is_told_to_record(compiled, runner, tmp_path, monkeypatch):
    """And what it recorded is kept beside its reports."""
    request, finished = compiled
    samples = Path(__file__).parents[2] / "synthesis" / "vendor_samples.py"
    program = tmp_path / "bin" / "vitis-run"
    program.parent.mkdir()
    place = "net_prj/solution1/.autopilot/db"
    program.write_text(
        f"#!/bin/sh\ngrep -q 'fifo_opt   1' build_opt.tcl || exit 3\n"
        f"{sys.executable} {samples} write . net csynth cosim\n"
        f"mkdir -p {place} && echo 1,layer2_out_U,x,a.csv > {place}/channel_info.csv\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    options = {**request.options, "synthesis_steps": ["csynth", "cosim"]}
    request = replace(request, options=options)
    made = BACKEND.synthesise(request, finished.path, runner.run, True)
    reports = made.artifacts["synthesis_reports"]
    assert (reports / place / "channel_info.csv").is_file()


def test_what_has_no_such_streams_is_refused():
    target, network = networks.PYNQ, networks.cnn().network()
    given = {"compiler": "catapult", "io": "stream", "fifo_depth": "optimize"}
    (problem,) = BACKEND.check(network, target, BACKEND.options(given, "here"))
    assert "optimize is for vitis" in str(problem)
    given = {"io": "parallel", "fifo_depth": "optimize"}
    (problem,) = BACKEND.check(network, target, BACKEND.options(given, "here"))
    assert "no FIFOs" in str(problem)


def test_latencies_are_asked_for_alone_where_depths_are():
    network = networks.cnn().network()
    options = BACKEND.options({"compiler": "vitis"}, "here")
    assert fifos.latencies(network, networks.PYNQ, options) == {}
    shared = {**options, "fifo_depth": "optimize", "strategy": "resource", "reuse_factor": 4}
    plain = {**options, "fifo_depth": "optimize", "strategy": "latency", "reuse_factor": 1}
    fast = fifos.latencies(network, networks.PYNQ, plain)
    slow = fifos.latencies(network, networks.PYNQ, shared)
    assert slow["conv1"] == pytest.approx(fast["conv1"] + 2)  # 3 is the factor that can be built

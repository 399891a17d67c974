from __future__ import annotations

import logging

import onnxruntime as ort
import pytest

import edgenn
from edgenn.errors import MissingExtraError, ModelError, UsageError
from edgenn.runtime.engines import _providers as p
from edgenn.runtime.engines._providers import CPU, CUDA, TENSORRT, Wish

JETSON = [TENSORRT, CUDA, CPU]


@pytest.fixture
def built(tmp_path):
    """Folder of a TensorRT engine that was built before."""
    (tmp_path / p.READY).write_text("60.0 s\n")
    return tmp_path


def names(plans):
    return [plan.name for plan in plans]


def test_a_machine_without_gpu_has_the_cpu_only(tmp_path):
    (plan,) = p.plans(Wish(), ["AzureExecutionProvider", CPU], tmp_path)
    assert plan.providers == ((CPU, {}),)


def test_auto_never_starts_a_build_of_minutes(tmp_path):
    plans = p.plans(Wish(), JETSON, tmp_path)
    assert names(plans) == ["cuda", "cpu"]
    assert "edgenn warm" in plans[0].reason


def test_auto_takes_an_engine_that_was_built(built):
    assert names(p.plans(Wish(), JETSON, built)) == ["tensorrt", "cuda", "cpu"]


def test_auto_leaves_int8_files_to_the_cpu_rather_than_to_cuda(tmp_path):
    (plan,) = p.plans(Wish(int8=True), JETSON, tmp_path)
    assert plan.name == "cpu"
    assert "int8" in plan.reason


@pytest.mark.parametrize("wanted", ["cpu", "cuda", "tensorrt"])
def test_an_explicit_wish_has_no_second_try(built, wanted):
    assert names(p.plans(Wish(wanted), JETSON, built)) == [wanted]


@pytest.mark.parametrize("wanted", ["cuda", "tensorrt"])
def test_a_missing_provider_comes_with_its_pip_line(tmp_path, wanted):
    with pytest.raises(MissingExtraError, match="pip install onnxruntime-gpu"):
        p.plans(Wish(wanted), [CPU], tmp_path)


def test_a_jetson_is_told_another_package_index():
    assert "--index-url" in p.pip_line("aarch64")
    assert "--index-url" not in p.pip_line("x86_64")


def test_tensorrt_gets_precision_and_cache(tmp_path):
    (plan,) = p.plans(Wish("tensorrt", half=True, int8=True), JETSON, tmp_path)
    name, options = plan.providers[0]
    assert name == TENSORRT
    assert options["trt_fp16_enable"] == options["trt_int8_enable"] == "True"
    assert options["trt_engine_cache_path"] == str(tmp_path)
    assert [n for n, _ in plan.providers[1:]] == [CUDA, CPU]
    (plain,) = p.plans(Wish("tensorrt"), JETSON, tmp_path)
    assert plain.providers[0][1]["trt_fp16_enable"] == "False"


def test_under_auto_a_failure_makes_way_and_is_logged(built, caplog):
    def build(plan):
        if plan.name != "cpu":
            raise ModelError(f"no {plan.name} library")
        return "session"

    with caplog.at_level(logging.INFO):
        plan, session = p.open_first(p.plans(Wish(), JETSON, built), build)
    assert (plan.name, session) == ("cpu", "session")
    assert "tensorrt failed, cuda is next: no tensorrt library" in caplog.text
    assert "cuda failed, cpu is next: no cuda library" in caplog.text
    assert "computes on cpu" in caplog.text


def test_an_explicit_wish_fails_with_what_to_do_about_a_damaged_engine(built):
    def build(plan):
        raise ModelError("cannot read the engine")

    with pytest.raises(ModelError, match=f"cannot read the engine.*delete {built}"):
        p.open_first(p.plans(Wish("tensorrt"), JETSON, built), build)


def test_a_build_is_announced_and_marked_when_done(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(p, "_TICK_S", 0.01)
    folder = tmp_path / "engine"

    def build(plan):
        (folder / "net_sm87.engine").write_bytes(b"engine")
        while "still builds" not in caplog.text:
            pass
        return "session"

    with caplog.at_level(logging.INFO):
        p.open_first(p.plans(Wish("tensorrt"), JETSON, folder), build)
    assert "can take minutes" in caplog.text
    assert (folder / p.READY).is_file()


def test_a_build_that_failed_is_no_engine(tmp_path):
    def build(plan):
        (tmp_path / "half.engine").write_bytes(b"")
        raise ModelError("out of memory")

    with pytest.raises(ModelError, match="out of memory"):
        p.open_first(p.plans(Wish("tensorrt"), JETSON, tmp_path), build)
    assert names(p.plans(Wish(), JETSON, tmp_path)) == ["cuda", "cpu"]


def test_a_cache_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="XDG_CACHE_HOME"):
        p.open_first(p.plans(Wish("tensorrt"), JETSON, tmp_path / "file" / "x"), print)


def test_a_session_that_quietly_lacks_its_provider_is_refused(tmp_path):
    (plan,) = p.plans(Wish("cuda"), JETSON, tmp_path)
    p.check_used(plan, [CUDA, CPU])
    with pytest.raises(ModelError, match="could not start CUDA"):
        p.check_used(plan, [CPU])


def test_each_file_version_and_precision_has_its_own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = {
        p.cache_folder(b"a", Wish(), "1.23.2", "10.3.0"),
        p.cache_folder(b"b", Wish(), "1.23.2", "10.3.0"),
        p.cache_folder(b"a", Wish(half=True), "1.23.2", "10.3.0"),
        p.cache_folder(b"a", Wish(int8=True), "1.23.2", "10.3.0"),
        p.cache_folder(b"a", Wish(), "1.24.0", "10.3.0"),
        p.cache_folder(b"a", Wish(), "1.23.2", "10.4.0"),
    }
    assert len(folders) == 6
    assert {f.parent for f in folders} == {tmp_path / "edgenn" / "tensorrt"}


def test_the_real_engine_computes_on_the_cpu_here(tiny):
    model = edgenn.load(tiny / "tiny-detect.edgenn", engine="onnx", provider="cpu")
    assert model.engine.provider == "cpu"


@pytest.mark.skipif(CUDA in ort.get_available_providers(), reason="has a GPU build")
def test_load_refuses_a_provider_that_is_not_there(tiny):
    with pytest.raises(MissingExtraError, match="CUDAExecutionProvider"):
        edgenn.load(tiny / "tiny-detect.edgenn", provider="cuda")
    with pytest.raises(UsageError, match="LiteRT has no provider"):
        edgenn.load(tiny / "tiny-detect.edgenn", engine="litert", provider="cuda")


def test_half_is_never_ignored_without_a_word(tiny, caplog):
    with pytest.raises(UsageError, match="--half is for TensorRT"):
        edgenn.load(tiny / "tiny-detect.edgenn", provider="cpu", half=True)
    edgenn.load(tiny / "tiny-detect.edgenn", engine="litert", precision="int8", half=True)
    assert "model.int8.tflite runs in int8" in caplog.text


def test_onnx_under_auto_says_that_half_has_no_use_on_the_cpu(tiny, caplog):
    edgenn.load(tiny / "tiny-detect.edgenn", engine="onnx", half=True)
    assert "half has no effect on cpu" in caplog.text


@pytest.fixture
def pretended(monkeypatch, tiny):
    """An onnxruntime that says it has CUDA, and opens its sessions on the CPU all the same."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    return tiny / "tiny-detect.edgenn"


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_does_not_start_is_an_error_where_it_was_asked_for(pretended):
    with pytest.raises(ModelError, match="could not start CUDA"):
        edgenn.load(pretended, provider="cuda")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_does_not_start_is_a_warning_under_auto(pretended, caplog):
    model = edgenn.load(pretended, engine="onnx", precision="fp32")
    assert model.engine.provider == "cpu"
    assert "cuda failed, cpu is next" in caplog.text

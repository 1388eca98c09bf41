"""``portraitist convert``: into every format, what it tells, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file, save_file

from portraitist.adapters import Adapter, attached, load_adapter, save_adapter
from portraitist.bases import Base
from portraitist.exchange.formats import detect
from portraitist.exchange.loading import load_any

Run = Callable[..., Result]
Fail = Callable[..., str]
Write = Callable[..., Path]

ATTENTION = ("linear:unet.*attn*",)


def predict(base: Base, adapter: Adapter) -> torch.Tensor:
    """Return what the denoiser predicts with an adapter."""
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), attached(base.components, adapter):
        return base.family.predict(latents, torch.tensor([300]), base.family.encode_prompts(["a sks cat"]))


def test_a_program_means_the_format_that_it_reads(run: Run, trained: Path) -> None:
    output = run("convert", trained, "-o", "out.safetensors", "--to", "ComfyUI").stdout
    assert "out.safetensors (kohya, " in output
    assert detect(Path("out.safetensors")).name == "kohya"


@pytest.mark.parametrize("to", ["portraitist", "diffusers", "peft", "kohya"])
def test_a_lora_means_the_same_everywhere(run: Run, trained: Path, base: Base, to: str) -> None:
    output = run("convert", trained, "-o", "out.safetensors", "--to", to).stdout
    assert f"out.safetensors ({to}, " in output
    assert "lora of rank 4 on 32 layers" in output
    assert detect(Path("out.safetensors")).name == to
    converted = load_any(Path("out.safetensors"), base.components)
    assert converted.provenance.facts["trigger"] == "sks cat"
    torch.testing.assert_close(predict(base, converted), predict(base, load_adapter(trained)))


def test_a_foreign_file_comes_back(run: Run, trained: Path) -> None:
    run("convert", trained, "-o", "out.safetensors", "--to", "kohya")
    run("convert", "out.safetensors", "-o", "back.safetensors", "--to", "portraitist")
    first, second = load_adapter(trained).named_parameters(), load_adapter("back.safetensors").named_parameters()
    assert all(second[name].equal(value) for name, value in first.items())


def test_spectral_shifts_become_a_lora_of_a_rank(run: Run, write_adapter: Write, base: Base) -> None:
    file = write_adapter("shifts", "svdiff", (*ATTENTION, "norm:unet.mid_block*"))
    output = run("convert", file, "-o", "out.safetensors", "--to", "kohya", "--rank", 2).stdout
    assert "lora of rank 2" in output
    assert "of the change's energy on average" in output
    assert "left out" in output
    assert "unet.mid_block.attentions.0.norm" in output


def test_changes_of_full_rank_are_cut_when_no_rank_is_given(run: Run, write_adapter: Write) -> None:
    file = write_adapter("shifts", "svdiff", ("unet.mid_block.attentions.0.*attn1.to_q",))
    assert "lora of rank 64 on 1 layers" in run("convert", file, "-o", "a.safetensors", "--to", "kohya").stdout
    assert "exactly" in run("convert", file, "-o", "b.safetensors", "--to", "kohya", "--rank", 64).stdout


def test_kronecker_factors_are_kept_or_become_an_exact_lora(run: Run, write_adapter: Write, base: Base) -> None:
    file = write_adapter("krona", "krona", ATTENTION, out_factor=8, in_factor=16)
    assert "krona on 32 layers" in run("convert", file, "-o", "lokr.safetensors", "--to", "lokr").stdout
    assert "the whole change, exactly" in run("convert", file, "-o", "lora.safetensors", "--to", "diffusers").stdout
    expected = predict(base, load_adapter(file))
    for name in ("lokr", "lora"):
        converted = load_any(Path(f"{name}.safetensors"), base.components)
        torch.testing.assert_close(predict(base, converted), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("to", ["portraitist", "diffusers", "peft", "kohya"])
@pytest.mark.parametrize(("dtype", "kind"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_half_precision(run: Run, trained: Path, base: Base, to: str, dtype: str, kind: torch.dtype) -> None:
    path = Path("half" if to == "peft" else "half.safetensors")
    run("convert", trained, "-o", path, "--to", to, "--dtype", dtype)
    (file,) = detect(path).files(path)
    stored = {value.dtype for key, value in load_file(file).items() if not key.endswith("alpha")}
    assert stored == {kind}
    converted = load_any(path, base.components)
    assert {value.dtype for value in converted.named_parameters().values()} == {torch.float32}
    for name, value in load_adapter(trained).named_parameters().items():
        torch.testing.assert_close(converted.named_parameters()[name], value.to(kind).float())


def test_numbers_too_large_for_a_precision(fail: Fail, trained: Path) -> None:
    adapter = load_adapter(trained)
    next(iter(adapter.named_parameters().values())).data[0, 0] = 1e5
    save_adapter(adapter, "large.safetensors")
    error = fail("convert", "large.safetensors", "-o", "out.safetensors", "--to", "kohya", "--dtype", "fp16")
    assert "holds numbers too large for torch.float16" in error
    assert not Path("out.safetensors").exists()


def test_shifts_of_others_need_their_base(run: Run, fail: Fail, write_adapter: Write, base: Base) -> None:
    file = write_adapter("shifts", "svdiff", ("unet.mid_block.attentions.0.*attn1.to_q",))
    run("convert", file, "-o", "folder", "--to", "svdiff-pytorch")
    run("convert", "folder", "-o", "named.safetensors", "--to", "kohya", "--rank", 2)  # its file names the base
    shifts = Path("folder/spectral_shifts.safetensors")
    save_file(load_file(shifts), shifts)
    error = fail("convert", "folder", "-o", "out.safetensors", "--to", "kohya")
    assert "folder does not say which base it was made for; name it with --base" in error
    run("convert", "folder", "-o", "out.safetensors", "--to", "kohya", "--rank", 2, "--base", base.name)
    first, second = load_file("named.safetensors"), load_file("out.safetensors")
    assert all(second[key].equal(value) for key, value in first.items())


def test_an_adapter_of_another_base(run: Run, fail: Fail, trained: Path, other_base_folder: Path) -> None:
    arguments = ("convert", trained, "-o", "out.safetensors", "--to", "kohya", "--base", other_base_folder)
    assert "--force" in fail(*arguments)
    run(*arguments, "--force")


def test_what_cannot_work_is_refused_in_one_line(fail: Fail, trained: Path, write_adapter: Write) -> None:
    word = write_adapter("word", "textual-inversion", ("text_encoder.*token_embedding",), token_ids=(5,))
    krona = write_adapter("krona", "krona", ATTENTION, out_factor=8, in_factor=16)
    Path("there.safetensors").touch()

    def refused(file: Path, to: str, *more: object, output: str = "out.safetensors") -> str:
        return fail("convert", file, "-o", output, "--to", to, *more)

    assert "lokr cannot hold this lora adapter; choose portraitist, diffusers, peft, kohya" in refused(trained, "lokr")
    assert "kohya cannot hold this textual-inversion adapter; choose portraitist" in refused(word, "kohya")
    assert "diffusekrona can only be read, not written; choose portraitist" in refused(krona, "diffusekrona")
    assert "unknown format 'ckpt'; choose one of" in refused(trained, "ckpt")
    assert "a rank is for LoRA, which the format lokr does not hold" in refused(krona, "lokr", "--rank", 2)
    assert "unknown precision 'int8'" in refused(trained, "kohya", "--dtype", "int8")
    assert "its name must end in .safetensors" in refused(trained, "kohya", output="out.ckpt")
    assert "exists already" in refused(trained, "kohya", output="there.safetensors")
    assert not Path("out.safetensors").exists()

"""``portraitist merge``: sums of adapters, and adapters in a base's weights."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file, save_file
from torch import Tensor

from portraitist.adapters import Adapter, Attachment, load_adapter, save_adapter
from portraitist.bases import Base, load_base
from portraitist.exchange.loading import load_any

Run = Callable[..., Result]
Fail = Callable[..., str]
Write = Callable[..., Path]

ATTENTION = ("linear:unet.mid_block*attn*",)


@torch.no_grad()
def predict(base: Base, *adapters: tuple[Adapter, float], prompt: str = "a sks cat") -> Tensor:
    """Return what the denoiser predicts with adapters at their scales."""
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    attachment = Attachment(base.components)
    try:
        for index, (adapter, scale) in enumerate(adapters):
            attachment.attach(adapter, str(index), scale)
        return base.family.predict(latents, torch.tensor([300]), base.family.encode_prompts([prompt])).float()
    finally:
        attachment.detach()


@pytest.mark.parametrize(
    ("arguments", "weights"),
    [
        ((), (1, 1)),
        (("--weights", "0.7,-0.3"), (0.7, -0.3)),
        (("--mode", "interpolate"), (0.5, 0.5)),
        (("--mode", "interpolate", "--weights", "3,1"), (0.75, 0.25)),
    ],
)
def test_the_sum_does_what_both_do(
    run: Run, write_adapter: Write, base: Base, arguments: tuple[str, ...], weights: tuple[float, float]
) -> None:
    first = write_adapter("first", "lora", ATTENTION, rank=2)
    second = write_adapter("second", "lora", ATTENTION, rank=3)
    output = run("merge", first, second, "-o", "sum.safetensors", *arguments).stdout
    assert "lora of rank 5 on 8 layers" in output
    total = load_adapter("sum.safetensors")
    parts = [(load_adapter(file), weight) for file, weight in zip((first, second), weights, strict=True)]
    torch.testing.assert_close(predict(base, (total, 1.0)), predict(base, *parts))
    assert total.provenance.facts["trigger"] == "first cat, second cat"
    assert total.provenance.facts["base"]["fingerprint"] == base.fingerprint
    noted = [(part["file"], part["weight"], part["method"]) for part in total.provenance.facts["merged"]]
    assert noted == [("first.safetensors", weights[0], "lora"), ("second.safetensors", weights[1], "lora")]


def test_methods_that_differ_go_through_lora(run: Run, write_adapter: Write, base: Base) -> None:
    files = [
        write_adapter("krona", "krona", ATTENTION, out_factor=8, in_factor=16),
        write_adapter("shifts", "svdiff", ("unet.mid_block*attn1.to_q",)),  # needs the base that it names
    ]
    run("convert", files[0], "-o", "lokr.safetensors", "--to", "lokr")
    run("merge", "lokr.safetensors", files[1], "-o", "sum.safetensors", "--to", "kohya")
    parts = [(load_adapter(file), 1.0) for file in files]
    total = load_any(Path("sum.safetensors"), base.components)
    assert total.method.name == "lora"
    torch.testing.assert_close(predict(base, (total, 1.0)), predict(base, *parts), atol=1e-4, rtol=1e-4)


def test_a_part_of_full_rank_limits_the_sum(run: Run, write_adapter: Write) -> None:
    files = [
        write_adapter("shifts", "svdiff", ("linear:unet.mid_block*ff.net.*",)),
        write_adapter("lora", "lora", ("linear:unet.mid_block*ff.net.*",), rank=2),
    ]
    assert "lora of rank 64 on 2 layers" in run("merge", *files, "-o", "sum.safetensors").stdout
    assert "lora of rank 3 on 2 layers" in run("merge", *files, "-o", "cut.safetensors", "--rank", 3).stdout


def test_a_sum_is_cut_to_a_rank(run: Run, write_adapter: Write) -> None:
    files = [write_adapter(name, "lora", ATTENTION, rank=rank) for name, rank in (("first", 2), ("second", 3))]
    output = run("merge", *files, "-o", "sum.safetensors", "--rank", 2, "--dtype", "fp16").stdout
    assert "lora of rank 2" in output
    assert "of the change's energy on average" in output
    assert {value.dtype for value in load_file("sum.safetensors").values()} == {torch.float16}


def test_words_join(run: Run, write_adapter: Write, base: Base) -> None:
    embedding = ("text_encoder.*token_embedding",)
    ids = base.family.token_ids("sks olo")
    files = [
        write_adapter(f"word{index}", "textual-inversion", embedding, token_ids=(token,))
        for index, token in enumerate(ids)
    ]
    run("merge", *files, "-o", "words.safetensors", "--weights", "1,0.5")
    parts = list(zip(map(load_adapter, files), (1.0, 0.5), strict=True))
    total = load_adapter("words.safetensors")
    prompt = "a sks cat and a olo cat"
    torch.testing.assert_close(predict(base, (total, 1.0), prompt=prompt), predict(base, *parts, prompt=prompt))


@pytest.mark.parametrize(
    ("dtype", "kind"), [(None, torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)], ids=str
)
def test_a_base_with_adapters_in_its_weights(
    run: Run, write_adapter: Write, base: Base, dtype: str | None, kind: torch.dtype
) -> None:
    files = [
        write_adapter("lora", "lora", (*ATTENTION, "text_encoder.*q_proj"), rank=2),
        write_adapter("shifts", "svdiff", ("conv:unet.mid_block*", "norm:unet.*")),
    ]
    given = () if dtype is None else ("--dtype", dtype)
    output = run("merge", *files, "--into-base", "-o", "merged", "--weights", "1,0.5", *given).stdout
    assert "2 adapters in its weights" in output
    note = json.loads(Path("merged/merged_adapters.json").read_text())
    assert note["base"]["name"] == base.name
    assert [(part["file"], part["scale"], part["method"], part["trigger"]) for part in note["adapters"]] == [
        ("lora.safetensors", 1.0, "lora", "lora cat"),
        ("shifts.safetensors", 0.5, "svdiff", "shifts cat"),
    ]
    assert {value.dtype for value in load_file("merged/unet/diffusion_pytorch_model.safetensors").values()} == {kind}
    merged = load_base("merged")
    parts = list(zip(map(load_adapter, files), (1.0, 0.5), strict=True))
    expected = predict(base, *parts)
    tolerance = 1e-5 if dtype is None else 0.05
    assert (predict(merged) - expected).abs().max() < tolerance * expected.abs().max()
    assert (predict(base) - expected).abs().max() > 0.1 * expected.abs().max()
    assert not list(Path().glob(".merged*"))


def test_what_cannot_work_is_refused_in_one_line(
    run: Run, fail: Fail, write_adapter: Write, trained: Path, other_base_folder: Path
) -> None:
    full = write_adapter("full", "full", ("unet.mid_block.attentions.0.norm",))
    other = load_adapter(trained)
    other.provenance.facts["base"] = {"name": "elsewhere", "fingerprint": "0"}
    save_adapter(other, "other.safetensors")
    run("convert", trained, "-o", "kohya.safetensors", "--to", "kohya")
    tensors = {
        key: value[..., :5] if "lora_down" in key else value for key, value in load_file("kohya.safetensors").items()
    }
    save_file({key: value.contiguous() for key, value in tensors.items()}, "narrow.safetensors")
    Path("there").mkdir()
    Path("there/file").touch()

    def refused(*arguments: object, output: str = "out.safetensors") -> str:
        return fail("merge", *arguments, "-o", output)

    assert "2 adapters need 2 weights, not 1" in refused(trained, trained, "--weights", "0.5")
    assert "--weights takes numbers such as 0.7,0.3" in refused(trained, trained, "--weights", "half")
    assert "--weights takes finite numbers" in refused(trained, trained, "--weights", "1,nan")
    assert "weights by their sum, which is 0" in refused(trained, trained, "--weights", "1,-1", "--mode", "interpolate")
    assert "unknown mode 'blend'; choose add, interpolate or style-mix" in refused(trained, "--mode", "blend")
    assert "full.safetensors (full) has no LoRA form, which this sum would need; use" in refused(trained, full)
    mixed = write_adapter("mixed", "svdiff", ("unet.mid_block.attentions.0.*",))
    complaint = refused(mixed, trained)
    assert "mixed.safetensors (svdiff) cannot be added exactly" in complaint
    assert "convert it first, which leaves that out: portraitist convert mixed.safetensors" in complaint
    word = write_adapter("word", "textual-inversion", ("text_encoder.*token_embedding",), token_ids=(5,))
    assert "word.safetensors (textual-inversion) has no LoRA form" in refused(trained, word)
    assert "made for different bases" in refused(trained, "other.safetensors")
    assert "in one adapter, (" in refused(trained, "narrow.safetensors")
    assert "choose one with --base" in refused(trained, "other.safetensors", "--into-base", output="new")
    assert "there exists already" in refused(trained, "--into-base", output="there")
    assert "are for adapter files" in refused(trained, "--into-base", "--rank", 2, output="new")
    assert "given twice" in refused(trained, trained, "--into-base", output="new")
    assert "use --force" in refused(trained, "--into-base", "--base", other_base_folder, output="new")
    assert not Path("out.safetensors").exists()
    assert not Path("new").exists()
    run("merge", trained, "other.safetensors", "-o", "out.safetensors", "--force")

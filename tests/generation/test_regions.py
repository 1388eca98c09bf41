"""Regions: words and adapters act inside their masks, and nowhere else; what cannot work is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from portraitist.adapters import Adapter, Attachment, attached, stack
from portraitist.bases import Base, load_base
from portraitist.bases.attention import cross_attentions
from portraitist.errors import BadConfig
from portraitist.generation import Region, SamplingConfig, generate
from portraitist.generation.regions import check_regions, regional

EVERYWHERE = "0,0,1,1"
SIZE = 32


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@torch.no_grad()
def predict(base: Base, prompt: str) -> Tensor:
    unet = base.pipeline.unet.config
    latents = torch.randn(
        1, unet.in_channels, unet.sample_size, unet.sample_size, generator=torch.Generator().manual_seed(5)
    )
    return base.family.predict(latents, torch.tensor([300]), base.family.encode_prompts([prompt]))


@pytest.mark.parametrize(
    ("method", "patterns"),
    [
        ("svdiff", ["unet.*", "text_encoder.*"]),
        ("lora", ["linear:unet.*"]),
        ("full", ["unet.*", "norm:text_encoder.*"]),
    ],
)
def test_a_region_of_everything_is_a_picture_of_its_own(
    base: Base, draw_adapter: Callable[..., Adapter], method: str, patterns: list[str]
) -> None:
    adapter = draw_adapter(base.components, method, patterns, size=0.05)
    with attached(base.components, adapter):
        wanted = predict(base, "a sks cat")
    attachment = Attachment(base.components).attach(adapter, "cat")
    with regional(base, attachment, [Region(EVERYWHERE, "a sks cat", "cat", 0.0)], guided=False):
        confined = predict(base, "a robot in space")
    attachment.detach()
    torch.testing.assert_close(confined, wanted, rtol=1e-3, atol=1e-4)
    assert (wanted - predict(base, "a robot in space")).abs().max() > 0.01


def test_regions_that_say_what_the_picture_says_change_nothing(base: Base) -> None:
    regions = [Region("left", "a robot"), Region("right", "a robot")]
    with regional(base, Attachment(base.components), regions, guided=False):
        same = predict(base, "a robot")
    torch.testing.assert_close(same, predict(base, "a robot"), rtol=1e-4, atol=1e-5)


def test_words_alone_leave_unconditional_rows_as_they_are(base: Base) -> None:
    """They are not computed again for each region, and come out the same."""
    name, attention = next(iter(cross_attentions(base).items()))
    states = base.family.encode_prompts(["", "a cat"])["encoder_hidden_states"]
    pixels = torch.randn(2, 64, attention.to_q.in_features, generator=torch.Generator().manual_seed(2))
    rows: list[int] = []
    hook = attention.to_q.register_forward_hook(lambda module, args, output: rows.append(len(output)))
    with torch.no_grad():
        plain = attention(pixels, states)
        with regional(base, Attachment(base.components), [Region("left", "a robot")], guided=True):
            found = attention(pixels, states)
    hook.remove()
    assert rows == [2, 2, 1], name
    assert torch.equal(found[0], plain[0])
    assert not torch.equal(found[1], plain[1])


def test_an_adapter_changes_its_side_only(base: Base, draw_adapter: Callable[..., Adapter]) -> None:
    adapter = draw_adapter(base.components, "full", ["unet.conv_out"])
    plain = predict(base, "a cat")
    with attached(base.components, adapter):
        changed = predict(base, "a cat")
    attachment = Attachment(base.components).attach(adapter, "cat")
    with regional(base, attachment, [Region("left", "a cat", "cat")], guided=False):
        found = predict(base, "a cat")
    attachment.detach()
    half = plain.shape[-1] // 2
    torch.testing.assert_close(found[..., :half], changed[..., :half], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[..., half:], plain[..., half:], rtol=1e-4, atol=1e-5)


def test_words_are_heard_in_their_region_only(base: Base) -> None:
    """Look at the first cross-attention, before the picture's parts have seen each other's words."""
    name, attention = next(iter(cross_attentions(base).items()))
    assert name.startswith("down_blocks.")
    outputs: list[Tensor] = []
    hook = attention.register_forward_hook(lambda module, args, output: outputs.append(output[0]))
    predict(base, "a cat")
    predict(base, "a red robot")
    with regional(base, Attachment(base.components), [Region("left", "a red robot", None, 0.25)], guided=False):
        predict(base, "a cat")
    hook.remove()
    cat, robot, both = (output.unflatten(0, (round(len(output) ** 0.5), -1)) for output in outputs)
    half = cat.shape[1] // 2
    torch.testing.assert_close(both[:, half:], cat[:, half:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both[:, :half], (0.75 * robot + 0.25 * cat)[:, :half], rtol=1e-4, atol=1e-5)
    assert (cat - robot).abs().max() > 1e-3


def test_pictures_are_made_by_regions_and_say_so(
    base: Base, draw_adapter: Callable[..., Adapter], tmp_path: Path
) -> None:
    cat, robot = (
        draw_adapter(base.components, "lora", ["unet.*.to_q", "unet.*.to_k"], size=size) for size in (0.1, 0.3)
    )
    adapters = {"cat": (cat, 1.0), "robot": (robot, 0.5)}
    regions = [Region("left", "a sks cat", "cat"), Region("right", "a olo robot", "robot")]
    config = SamplingConfig(steps=2)

    def sample(*regions: Region) -> list[bytes]:
        made = generate(base, ["a photo"] * 2, adapters, config=config, regions=regions, show_progress=False)
        made[0].save(tmp_path / "picture.png")
        return [picture.image.tobytes() for picture in made]

    first = sample(*regions)
    assert (
        '"place": "left", "prompt": "a sks cat", "adapter": "cat"'
        in Image.open(tmp_path / "picture.png").info["portraitist"]
    )
    assert first == sample(*regions)
    assert first != sample(*(Region(one.place, one.prompt) for one in regions))
    assert first != sample()
    assert all("Regional" not in type(one).__name__ for one in base.pipeline.unet.attn_processors.values())


def test_the_unconditional_half_keeps_its_words(base: Base) -> None:
    """With regions that say what the prompt says, guided pictures are those without regions."""
    config = SamplingConfig(steps=2, guidance=5.0, negative_prompt="a robot")
    plain, regions = (
        generate(base, ["a cat"], config=config, regions=regions, show_progress=False)[0].image
        for regions in ([], [Region("left", "a cat"), Region("right", "a cat")])
    )
    difference = torch.tensor([abs(a - b) for a, b in zip(plain.tobytes(), regions.tobytes(), strict=True)])
    assert difference.max() <= 1


def test_masks_of_all_kinds(tmp_path: Path) -> None:
    picture = Image.new("L", (SIZE, SIZE), 0)
    picture.paste(255, (0, 0, SIZE // 2, SIZE))
    picture.save(tmp_path / "mask.png")
    left = Region("left", "a cat").mask(SIZE)
    assert left.sum() == SIZE * SIZE / 2
    assert torch.equal(left, Region("0,0,0.5,1", "a cat").mask(SIZE))
    assert torch.equal(left, Region(str(tmp_path / "mask.png"), "a cat").mask(SIZE))
    assert torch.equal(Region("top", "a cat").mask(SIZE), left.T)


def test_regions_that_overlap_share(base: Base) -> None:
    masks = check_regions(base, [Region("left", "a cat"), Region(EVERYWHERE, "a robot")], [])
    assert masks.sum(0).max() == 1
    assert masks[0, 0, 0] == masks[1, 0, 0] == 0.5
    assert masks[1, 0, -1] == 1


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("middle", "there is no region 'middle'"),
        ("0,0,2,1", "a box is x0,y0,x1,y1 with"),
        ("0,0,0.001,1", "the region '0,0,0.001,1' is empty"),
        ("mask.png", "mask.png is 20 x 30, but pictures are 32 x 32"),
    ],
)
def test_places_that_are_none_are_refused(
    base: Base, place: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (20, 30), 255).save("mask.png")
    with pytest.raises(BadConfig, match=complaint):
        generate(base, ["a cat"], config=SamplingConfig(steps=1), regions=[Region(place, "a cat")], show_progress=False)


def test_adapters_that_regions_cannot_have_are_refused(base: Base) -> None:
    with pytest.raises(BadConfig, match="names the adapter 'dog'; there are: cat"):
        check_regions(base, [Region("left", "a dog", "dog")], ["cat"])
    with pytest.raises(BadConfig, match="confined to two regions"):
        check_regions(base, [Region("left", "a cat", "cat"), Region("right", "a cat", "cat")], ["cat"])


def test_a_base_without_cross_attention_is_named(tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_base(tiny_base_folder)
    monkeypatch.setattr(base.pipeline, "unet", nn.Conv2d(4, 4, 1))
    with pytest.raises(BadConfig, match="base is a Stable Diffusion model: it has no cross-attention"):
        check_regions(base, [Region("left", "a cat")], [])


def test_shares_are_between_none_and_all() -> None:
    with pytest.raises(BadConfig, match="base_ratio of a region must be between 0 and 1, not 1"):
        Region("left", "a cat", base_ratio=1.5)
    with pytest.raises(BadConfig, match="start of a region"):
        Region("left", "a cat", start=-1)


def test_until_regions_start_the_whole_prompt_lays_the_picture_out(base: Base) -> None:
    plain = predict(base, "a cat and a robot")
    late, usual = Region("left", "a red robot", start=0.8), Region("left", "a red robot", start=0.7)
    for regions, changed in (([late], False), ([usual], True), ([late, usual], True)):
        with regional(base, Attachment(base.components), regions, guided=False):
            found = predict(base, "a cat and a robot")
        assert torch.equal(found, plain) is not changed


def test_every_picture_of_a_batch_may_have_its_own_regions(base: Base, draw_adapter: Callable[..., Adapter]) -> None:
    """Each is what it is when it is sampled alone: with two regions, with one whose adapter is confined, with none."""
    adapters = {
        name: (draw_adapter(base.components, "lora", ["unet.*.to_q", "text_encoder.*q_proj"], size=size), 1.0)
        for name, size in (("cat", 0.1), ("robot", 0.3))
    }
    regions = [
        [Region("left", "a sks cat", "cat"), Region("right", "a olo robot", "robot", start=0.0)],
        [Region("top", "a robot", "robot", base_ratio=0.2)],
        [],
    ]
    prompts, config = ["a photo", "a cat", "a robot"], SamplingConfig(steps=2, guidance=3.0)
    together = generate(base, prompts, adapters, config=config, regions=regions, show_progress=False)
    for index, picture in enumerate(together):
        (alone,) = generate(
            base, [prompts[index]], adapters, seeds=[index], config=config, regions=regions[index], show_progress=False
        )
        assert (picture.regions, picture.prompt) == (alone.regions, alone.prompt)
        difference = np.asarray(picture.image, int) - np.asarray(alone.image, int)
        assert abs(difference).max() <= 1
    with pytest.raises(BadConfig, match="2 prompts need as many lists of regions, not 3"):
        generate(base, prompts[:2], adapters, config=config, regions=regions)


def test_a_bank_is_served_with_prompts_and_regions_of_its_samples(
    base: Base, draw_adapter: Callable[..., Adapter]
) -> None:
    patterns = ["unet.*.to_q", "text_encoder.*q_proj"]
    first, second = (draw_adapter(base.components, "lora", patterns, size=size) for size in (0.1, 0.3))
    regions = [[Region("left", "a sks cat", "bank")], [Region("right", "a olo robot", "bank")]]
    prompts = ["a cat in space", "a robot"]
    latents = torch.randn(
        2, 4, *(base.pipeline.unet.config.sample_size,) * 2, generator=torch.Generator().manual_seed(1)
    )

    @torch.no_grad()
    def predict_all(rows: slice) -> Tensor:
        conditions = base.family.encode_prompts(prompts[rows])
        return base.family.predict(latents[rows], torch.full((len(prompts[rows]),), 300), conditions)

    attachment = Attachment(base.components).attach(stack([first, second]), "bank")
    attachment.serve([1, 0], "bank")
    with regional(base, attachment, regions, guided=False):
        together = predict_all(slice(2))
    attachment.detach()
    for index, adapter in enumerate((second, first)):
        alone = Attachment(base.components).attach(adapter, "bank")
        with regional(base, alone, regions[index], guided=False):
            expected = predict_all(slice(index, index + 1))
        alone.detach()
        torch.testing.assert_close(together[index : index + 1], expected, rtol=1e-3, atol=1e-4)

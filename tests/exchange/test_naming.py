"""Names with underscores instead of dots, with and without a base, for every module of real architectures."""

from pathlib import Path

import pytest
from torch import nn

from portraitist.bases.architectures import build_architecture
from portraitist.errors import BadFile, MissingBase
from portraitist.exchange.naming import Naming, clip_path

FILE = Path("some.safetensors")
# Names that kohya's sd-scripts and ComfyUI use in the original layout, and what they mean.
ORIGINAL = {
    "input_blocks_0_0": "conv_in",
    "input_blocks_1_0_in_layers_2": "down_blocks.0.resnets.0.conv1",
    "input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
    "input_blocks_4_0_skip_connection": "down_blocks.1.resnets.0.conv_shortcut",
    "input_blocks_4_1_transformer_blocks_0_attn1_to_k": "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k",
    "input_blocks_8_1_proj_in": "down_blocks.2.attentions.1.proj_in",
    "middle_block_0_emb_layers_1": "mid_block.resnets.0.time_emb_proj",
    "middle_block_1_transformer_blocks_9_ff_net_0_proj": "mid_block.attentions.0.transformer_blocks.9.ff.net.0.proj",
    "middle_block_2_out_layers_3": "mid_block.resnets.1.conv2",
    "output_blocks_0_1_transformer_blocks_0_ff_net_2": "up_blocks.0.attentions.0.transformer_blocks.0.ff.net.2",
    "output_blocks_2_2_conv": "up_blocks.0.upsamplers.0.conv",
    "output_blocks_5_1_proj_out": "up_blocks.1.attentions.2.proj_out",
    "output_blocks_8_0_in_layers_2": "up_blocks.2.resnets.2.conv1",
    "time_embed_2": "time_embedding.linear_2",
    "label_emb_0_0": "add_embedding.linear_1",
    "out_2": "conv_out",
}


@pytest.fixture(scope="module")
def sdxl() -> dict[str, nn.Module]:
    return build_architecture("sdxl")


@pytest.mark.parametrize("name", ["sd15", "sdxl", "flux"])
def test_every_module_is_found_without_a_base(name: str) -> None:
    for component, root in build_architecture(name).items():
        naming, table = Naming(FILE, None), Naming(FILE, {component: root})
        for path, module in root.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
                flat = path.replace(".", "_")
                assert table.flattened(component, flat) == f"{component}.{path}"
                if component == "text_encoder":
                    assert naming.flattened(component, f"text_model_{flat}") == f"{component}.{path}"
                assert naming.flattened(component, flat) == f"{component}.{path}"


@pytest.mark.parametrize("name", ORIGINAL)
def test_the_original_layout(sdxl: dict[str, nn.Module], name: str) -> None:
    assert Naming(FILE, None).flattened("unet", name) == f"unet.{ORIGINAL[name]}"
    assert Naming(FILE, sdxl).flattened("unet", name) == f"unet.{ORIGINAL[name]}"


def test_text_encoders_keep_the_level_other_programs_know(sdxl: dict[str, nn.Module]) -> None:
    naming = Naming(FILE, sdxl)
    for component in ("text_encoder", "text_encoder_2"):
        layer = naming.flattened(component, "text_model_encoder_layers_3_self_attn_q_proj")
        sdxl[component].get_submodule(layer.partition(".")[2])
        assert layer == Naming(FILE, None).flattened(component, "text_model_encoder_layers_3_self_attn_q_proj")
        assert clip_path(layer) == (component, "text_model.encoder.layers.3.self_attn.q_proj")
    assert clip_path("text_encoder_2.encoder.block.0.layer.0.SelfAttention.q")[1].startswith("encoder.block")


@pytest.mark.parametrize("name", ["lora_magic", "down_blocks_0_magic", "joint_blocks_0_x_block", ""])
def test_unknown_words_are_not_guessed(name: str) -> None:
    with pytest.raises(MissingBase, match="can only be told with the base"):
        Naming(FILE, None).flattened("unet", name)


@pytest.mark.parametrize(
    ("component", "path"),
    [("unet", "nonsense.a.b"), ("nonsense", "mid_block"), ("unet", "diffusion_model.joint_blocks.0.x_block")],
)
def test_dotted_names_of_no_known_family_need_the_base(component: str, path: str) -> None:
    with pytest.raises(MissingBase, match="can only be told with the base"):
        Naming(FILE, None).dotted(component, path)


@pytest.mark.parametrize(("component", "prefix"), [("unet", "diffusion_model."), ("diffusion_model", "")])
def test_dotted_names_of_the_original_layout(sdxl: dict[str, nn.Module], component: str, prefix: str) -> None:
    path = f"{prefix}input_blocks.4.1.transformer_blocks.0.attn1.to_k"
    for components in (None, sdxl):
        layer = Naming(FILE, components).dotted(component, path)
        assert layer == "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k"


def test_what_a_base_has_not(sdxl: dict[str, nn.Module]) -> None:
    naming = Naming(FILE, sdxl)
    with pytest.raises(BadFile, match="changes joint_blocks_0_x_block of the unet, which this base does not have"):
        naming.flattened("unet", "joint_blocks_0_x_block")
    with pytest.raises(BadFile, match="changes the transformer, which this base does not have"):
        naming.flattened("unet", "double_blocks_0_img_attn_qkv")
    with pytest.raises(
        BadFile, match=r"changes unet\.down_blocks\.7\.resnets\.0\.conv1, which this base does not have"
    ):
        naming.flattened("unet", "down_blocks_7_resnets_0_conv1")
    with pytest.raises(BadFile, match="changes the transformer, which this base does not have"):
        naming.dotted("transformer", "x_embedder")


@pytest.mark.parametrize("path", ["a*", "a..b", "", "a.b[0]", "../a"])
def test_odd_names_are_refused(path: str) -> None:
    with pytest.raises(BadFile, match="is not a module name"):
        Naming(FILE, None).dotted("unet", path)

"""A whole tiny pipeline of diffusers, every part of the real class with random weights, saved as a folder."""

from pathlib import Path

import torch

from .peer import OMNI, TINY, peer_of

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
TEMPLATE = (
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>{{ '\\n' }}"
    "{%- endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
QWEN3_LAYERS = 3


def tokenizer():
    """Byte-level BPE without merges: any text, one token per byte, and the control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {c: i for i, c in enumerate([*CONTROL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    bpe = Tokenizer(models.BPE(vocab, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(CONTROL[1:]),
        chat_template=TEMPLATE,
    )


def qwen3(width=TINY.cap_feat_dim):
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(5)
    config = Qwen3Config(
        vocab_size=512,
        hidden_size=width,
        intermediate_size=128,
        num_hidden_layers=QWEN3_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=1024,
    )
    return Qwen3Model(config).eval()


def autoencoder(channels=16):
    """Eight times smaller, as the real one, with few channels."""
    from diffusers import AutoencoderKL

    torch.manual_seed(6)
    return AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).eval()


def siglip2(width=OMNI.siglip_feat_dim):
    """Vision tower and processor of at most 16 patches."""
    from transformers import Siglip2ImageProcessor, Siglip2VisionConfig, Siglip2VisionModel

    torch.manual_seed(7)
    config = Siglip2VisionConfig(
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_patches=16,
        patch_size=16,
    )
    return Siglip2VisionModel(config).eval(), Siglip2ImageProcessor(max_num_patches=16, patch_size=16)


def scheduler(shift=3.0, **options):
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=shift, **options)


def save_peer(folder: Path, shift=3.0):
    """A ZImagePipeline, saved below `folder`."""
    from diffusers import ZImagePipeline

    pipe = ZImagePipeline(
        transformer=peer_of(TINY, std=0.08),
        scheduler=scheduler(shift),
        vae=autoencoder(),
        text_encoder=qwen3(),
        tokenizer=tokenizer(),
    )
    pipe.save_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save_omni_peer(folder: Path):
    """A ZImageOmniPipeline, saved below `folder`."""
    from diffusers import ZImageOmniPipeline

    vision, processor = siglip2()
    pipe = ZImageOmniPipeline(
        transformer=peer_of(OMNI, std=0.08),
        scheduler=scheduler(),
        vae=autoencoder(),
        text_encoder=qwen3(),
        tokenizer=tokenizer(),
        siglip=vision,
        siglip_processor=processor,
    )
    pipe.save_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe

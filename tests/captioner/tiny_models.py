"""Chat models of the real classes, tiny and untrained, saved as a hub would serve them."""

from __future__ import annotations

from pathlib import Path

TEXTS = (
    "A red sign over a door reads OPEN. The quick brown fox jumps over the lazy dog. 0123456789",
    "门上的红色招牌写着营业中。敏捷的棕色狐狸跳过懒狗。你好，世界。",
    '{"en_long": "text", "tags": ["a", "b"]}',
)
CONTROL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
#: Turns as Qwen's models write them; pictures as one placeholder, which the processor expands.
TEMPLATE = (
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n"
    "{%- if message.content is string %}{{ message.content }}{% else %}"
    "{%- for part in message.content %}"
    "{%- if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{%- endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _tokenizer():
    """A byte-level BPE tokenizer of 400 tokens, trained here."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(CONTROL[1:]),
        chat_template=TEMPLATE,
    )


def save_tiny(family: str, folder: Path, context: int = 4096, seed: int = 0) -> Path:
    """A model of `qwen2_5_vl` or `qwen3_vl` with its processor, in safetensors, below `folder`."""
    import torch
    import transformers as hf

    tokenizer = _tokenizer()
    ids = dict(zip(CONTROL, tokenizer.convert_tokens_to_ids(list(CONTROL)), strict=True))
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": context,
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64}
    shared = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": False,
    }
    torch.manual_seed(seed)
    sections = {"mrope_section": [2, 3, 3], "rope_type": "default", "rope_theta": 10000.0}
    if family == "qwen2_5_vl":
        text["rope_parameters"] = sections
        vision |= {"patch_size": 14, "fullatt_block_indexes": [1], "window_size": 56}
        config = hf.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **shared)
        model = hf.Qwen2_5_VLForConditionalGeneration(config)
        images = hf.Qwen2VLImageProcessor(patch_size=14, min_pixels=4 * 28 * 28, max_pixels=64 * 28 * 28)
        processor_class, video_class = hf.Qwen2_5_VLProcessor, hf.Qwen2VLVideoProcessor
    else:
        text |= {"head_dim": 16, "rope_parameters": {**sections, "mrope_interleaved": True}}
        vision |= {"patch_size": 16, "deepstack_visual_indexes": [0], "num_position_embeddings": 64}
        config = hf.Qwen3VLConfig(text_config=text, vision_config=vision, **shared)
        model = hf.Qwen3VLForConditionalGeneration(config)
        images = hf.Qwen2VLImageProcessor(patch_size=16, min_pixels=4 * 32 * 32, max_pixels=64 * 32 * 32)
        processor_class, video_class = hf.Qwen3VLProcessor, hf.Qwen3VLVideoProcessor
    # Untrained logits are all alike: spread out, so that rounding decides nothing.
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.save_pretrained(folder)
    processor_class(images, tokenizer, video_class(), chat_template=TEMPLATE).save_pretrained(folder)
    return folder
